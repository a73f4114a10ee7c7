from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.search.store import Store


def folder_of(path: Path, **files: bytes) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_what_is_put_comes_back(store: Store, tmp_path: Path, out: Path) -> None:
    files = {"weights": os.urandom(3_000_000), "architecture": b"{}", "empty": b""}
    store.put("key", folder_of(tmp_path / "in", **files))
    store.get("key", out)
    assert content(out) == files


def test_a_second_put_replaces_the_first(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("key", folder_of(tmp_path / "a", weights=b"first, and longer"))
    store.put("key", folder_of(tmp_path / "b", weights=b"second"))
    store.get("key", out)
    assert content(out) == {"weights": b"second"}


def test_keys_do_not_mix(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("a", folder_of(tmp_path / "a", weights=b"a"))
    store.put("ab", folder_of(tmp_path / "b", weights=b"b", other=b"b"))
    store.get("a", out)
    assert content(out) == {"weights": b"a"}


def test_another_process_s_store_sees_the_same(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("key", folder_of(tmp_path / "in", weights=b"w"))
    Store(store.url).get("key", out)
    assert content(out) == {"weights": b"w"}


def test_nothing_under_the_key_is_said(store: Store, tmp_path: Path, out: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.get("key", out)
    store.put("other", folder_of(tmp_path / "in", weights=b"w"))
    with pytest.raises(FileNotFoundError):
        store.get("key", out)


def test_what_a_kill_left_half_written_is_not_given_out(store: Store, tmp_path: Path, out: Path) -> None:
    store.put("key", folder_of(tmp_path / "in", weights=b"whole"))
    (tmp_path / "store" / "key" / "architecture.json.part").write_bytes(b"hal")
    store.get("key", out)
    assert content(out) == {"weights": b"whole"}
