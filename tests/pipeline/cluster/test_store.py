from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.cluster.store import RECORD, Store, StoreAway
from pipeline.common.errors import UserError


def folder_of(path: Path, **files: bytes) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), "study")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_what_is_put_comes_back(store: Store, tmp_path: Path, out: Path) -> None:
    files = {"weights": os.urandom(3_000_000), "architecture": b"{}", "empty": b""}
    store.put("key", folder_of(tmp_path / "in", **files), {})
    store.get("key", out)
    assert content(out) == files


@pytest.mark.parametrize("name", ["a::b", "a b?c#d%20", "[x]*", "{x}"])
def test_its_folder_may_have_any_name(tmp_path: Path, out: Path, name: str) -> None:
    store = Store(str(tmp_path / name), "study")
    store.put("key", folder_of(tmp_path / "in", weights=b"w"), {"psnr_db": 1.0})
    store.keep("other", 30, b"c")
    store.get("key", out)
    assert content(out) == {"weights": b"w"}
    assert store.record("key") == {"psnr_db": 1.0}
    assert store.reached("other") == 30
    assert (tmp_path / name).is_dir()


@pytest.mark.parametrize("url", ["nowhere://bucket/prefix", "dropbox://folder"])
def test_a_kind_of_place_that_cannot_be_reached_is_one_message(url: str) -> None:
    with pytest.raises(UserError, match=r"TATSNET_STORE=.* cannot be used"):
        Store(url, "study")


def test_a_second_put_replaces_the_first(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("key", folder_of(tmp_path / "a", weights=b"first, and longer"), {})
    store.put("key", folder_of(tmp_path / "b", weights=b"second"), {})
    store.get("key", out)
    assert content(out) == {"weights": b"second"}


def test_studies_do_not_mix(store: Store, tmp_path: Path) -> None:
    store.keep("key", 10, b"ten")
    other = Store(store.url, "other")
    assert (other.reached("key"), store.reached("key")) == (0, 10)
    store.put("key", folder_of(tmp_path / "in", weights=b"w"), {})
    assert other.record("key") is None


def test_keys_do_not_mix(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("a", folder_of(tmp_path / "a", weights=b"a"), {})
    store.put("ab", folder_of(tmp_path / "b", weights=b"b", other=b"b"), {})
    store.get("a", out)
    assert content(out) == {"weights": b"a"}


def test_another_process_s_store_sees_the_same(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("key", folder_of(tmp_path / "in", weights=b"w"), {})
    Store(store.url, "study").get("key", out)
    assert content(out) == {"weights": b"w"}


def test_nothing_under_the_key_is_said(store: Store, tmp_path: Path, out: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.get("key", out)
    store.put("other", folder_of(tmp_path / "in", weights=b"w"), {})
    with pytest.raises(FileNotFoundError):
        store.get("key", out)


def test_what_a_kill_left_half_written_is_not_given_out(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("key", folder_of(tmp_path / "in", weights=b"whole"), {})
    (tmp_path / "store" / "networks" / "study" / "key" / "architecture.json.part").write_bytes(b"hal")
    store.get("key", out)
    assert content(out) == {"weights": b"whole"}


def test_a_trial_has_ended_when_its_record_is_there(store: Store, tmp_path: Path) -> None:
    assert store.record("key") is None
    store.put("key", folder_of(tmp_path / "in", weights=b"w"), {"psnr_db": 25.0})
    assert store.record("key") == {"psnr_db": 25.0}


def test_a_kill_before_the_record_leaves_a_trial_that_has_not_ended(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store._write

    def die(self: Store, name: str, data: bytes) -> None:
        if name.endswith(RECORD):
            raise KeyboardInterrupt
        write(self, name, data)

    store.keep("key", 10, b"ten")
    monkeypatch.setattr(Store, "_write", die)
    with pytest.raises(KeyboardInterrupt):
        store.put("key", folder_of(tmp_path / "in", weights=b"w"), {})
    assert store.record("key") is None
    assert list(store.checkpoints("key")) == [b"ten"]


def test_the_last_checkpoints_are_kept_the_newest_first(store: Store) -> None:
    for iteration in (150, 300, 1_500, 900):
        store.keep("key", iteration, str(iteration).encode())
    store.keep("other", 20, b"other")
    assert list(store.checkpoints("key")) == [b"1500", b"900"]
    assert list(store.checkpoints("nobody")) == []
    assert (store.reached("key"), store.reached("nobody")) == (1500, 0)


def test_checkpoints_go_when_the_trial_ends(store: Store, tmp_path: Path) -> None:
    store.keep("key", 10, b"ten")
    folder = tmp_path / "store" / "checkpoints" / "study" / "key"
    (folder / "000000020.safetensors.part").write_bytes(b"what a kill left half-writ")
    assert list(store.checkpoints("key")) == [b"ten"]
    store.put("key", folder_of(tmp_path / "in", weights=b"w"), {})
    assert not list(folder.iterdir())


def test_a_store_that_nobody_has_written_into_is_no_error(store: Store) -> None:
    store.check()


def test_a_store_that_cannot_be_read_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder is wanted")
    (tmp_path / "store").chmod(0o600)
    with pytest.raises(StoreAway, match="TATSNET_STORE"):
        Store(str(tmp_path / "store" / "below"), "study").check()


def test_whatever_a_store_that_is_away_is_asked_is_told_alike_and_only_forgetting_does_not_mind(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder is wanted")
    store, out = Store(str(tmp_path / "store"), "study"), folder_of(tmp_path / "in", weights=b"w")
    for ask in (
        lambda: store.record("key"),
        lambda: store.reached("key"),
        lambda: store.keep("key", 10, b"ten"),
        lambda: store.put("key", out, {}),
        lambda: store.get("key", out),
        lambda: list(store.checkpoints("key")),
    ):
        with pytest.raises(StoreAway, match="cannot use the store"):
            ask()
    store.forget("key")
