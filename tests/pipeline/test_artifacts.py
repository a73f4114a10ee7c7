"""A file or folder is there whole, or as it was before."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.common import files as artifacts
from pipeline.common.errors import UserError
from pipeline.common.files import (
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    copy_file,
    fresh_folder,
    read_json,
    sha256_file,
    verify_manifest,
    write_manifest,
    writing,
)
from tests.pipeline.sources.disk import everything, largest_file, mounted


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds `file` and cannot be written to: by permission, or by its file system for root."""
    if os.geteuid():
        (tmp_path / "file").write_bytes(b"old")
        tmp_path.chmod(0o555)
        yield tmp_path
        tmp_path.chmod(0o755)
    else:
        with mounted(tmp_path / "disk") as disk:
            (disk / "file").write_bytes(b"old")
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            yield disk


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda path: atomic_write_bytes(path, b"\0\1"), b"\0\1"),
        (lambda path: atomic_write_text(path, "grün\r\n"), "grün\r\n".encode()),
        (lambda path: atomic_write_json(path, {"b": 1, "a": [0.1, "é"]}), None),
    ],
)
def test_write_replaces_whole_content_and_leaves_nothing_else(
    tmp_path: Path, write: Callable[[Path], None], expected: bytes | None
) -> None:
    path = tmp_path / "new" / "deep" / "file"
    for before in (None, b"old and much longer than what comes"):
        if before is not None:
            path.write_bytes(before)
        write(path)
        if expected is not None:
            assert path.read_bytes() == expected
        else:
            assert read_json(path) == {"b": 1, "a": [0.1, "é"]}
        assert os.listdir(path.parent) == ["file"]


def test_who_reads_the_old_file_reads_it_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as held:
        atomic_write_bytes(path, b"new and longer")
        assert held.read() == b"old"
    assert path.read_bytes() == b"new and longer"


def test_written_files_and_folders_get_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        atomic_write_text(tmp_path / "file", "x")
        with fresh_folder(tmp_path / "folder") as folder:
            (folder / "inside").write_text("x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder", "folder/inside")]
    assert modes == [0o644, 0o755, 0o644]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("-inf")]}])
def test_json_refuses_what_json_cannot_hold(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError):
        atomic_write_json(tmp_path / "file", value)
    assert os.listdir(tmp_path) == []


def test_full_disk_keeps_the_old_file(full_disk: Path) -> None:
    path = full_disk / "file"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=r"cannot write .*file \(No space left on device\): the disk is full: free"):
        atomic_write_bytes(path, bytes(1 << 20))
    assert everything(full_disk) == {"file": b"old"}


def test_refused_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with largest_file(1000), pytest.raises(UserError, match=r"cannot write .*file .*: .*use another disk"):
        atomic_write_bytes(path, bytes(1 << 20))
    assert everything(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize(
    "write", [lambda path: atomic_write_bytes(path, b""), lambda path: fresh_folder(path).__enter__()]
)
def test_file_in_the_place_of_a_folder_is_named(tmp_path: Path, write: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UserError, match=r"cannot write .*file/below.*: a part of the path is a file"):
        write(tmp_path / "file" / "below")
    assert everything(tmp_path) == {"file": b"x"}


READ_ONLY = r"cannot write .* \((Read-only file system|Permission denied)\): .*(choose|change)"


@pytest.mark.parametrize("name", ["file", "new", "new/deep"])
def test_read_only_place_is_named(read_only: Path, name: str) -> None:
    with pytest.raises(UserError, match=READ_ONLY):
        atomic_write_bytes(read_only / name, b"x")
    with pytest.raises(UserError, match=READ_ONLY), fresh_folder(read_only / name):
        pass
    with pytest.raises(UserError, match=READ_ONLY):
        copy_file(Path(__file__), read_only / name)
    assert everything(read_only) == {"file": b"old"}


def test_other_system_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        (tmp_path / "missing").read_bytes()


@pytest.mark.parametrize("old", [None, {"a": b"1"}])
def test_fresh_folder_swaps_the_whole_folder(tmp_path: Path, old: dict[str, bytes] | None) -> None:
    path = tmp_path / "parent" / "folder"
    if old is not None:
        path.mkdir(parents=True)
        (path / "a").write_bytes(b"1")
    with fresh_folder(path) as folder:
        assert everything(folder) == {}
        assert folder.parent == path.parent.resolve()
        (folder / "b").write_bytes(b"2")
        assert path.exists() == (old is not None)
    assert everything(tmp_path / "parent") == {"folder": None, "folder/b": b"2"}


@pytest.mark.parametrize("raised", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), UserError("x")])
@pytest.mark.parametrize("old", [False, True])
def test_fresh_folder_leaves_the_old_state_on_any_exception(tmp_path: Path, raised: BaseException, old: bool) -> None:
    path = tmp_path / "folder"
    if old:
        path.mkdir()
        (path / "a").write_bytes(b"1")
    before = everything(tmp_path)
    with pytest.raises(type(raised)), fresh_folder(path) as folder:  # noqa: PT012
        (folder / "deep").mkdir()
        (folder / "deep" / "b").write_bytes(b"2")
        raise raised
    assert everything(tmp_path) == before


def test_fresh_folder_survives_a_swap_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a").write_bytes(b"1")
    rename = os.rename

    def fail_on_new(source: Path, target: Path) -> None:
        if source.suffix == ".tmp":
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr("os.rename", fail_on_new)
    with pytest.raises(UserError, match="cannot write"), fresh_folder(path):
        pass
    assert everything(tmp_path) == {"folder": None, "folder/a": b"1"}


def test_fresh_folder_blames_the_disk_but_not_for_a_failed_read(full_disk: Path) -> None:
    with pytest.raises(UserError, match="the disk is full"), fresh_folder(full_disk / "out") as folder:
        (folder / "file").write_bytes(bytes(1 << 20))
    with pytest.raises(PermissionError), fresh_folder(full_disk / "out"):
        raise PermissionError(13, "Permission denied", "some input")
    assert everything(full_disk) == {}


def test_fresh_folder_through_a_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with fresh_folder(tmp_path / "link") as folder:
        (folder / "b").write_bytes(b"2")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "b").read_bytes() == b"2"


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.common import files as artifacts
place, moment = Path(sys.argv[1]), sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
rename = os.rename
if moment == "between":
    artifacts.os.rename = lambda a, b: die() if Path(a).suffix == ".tmp" else rename(a, b)
if moment == "after":
    artifacts._remove = die
with artifacts.fresh_folder(place) as folder:
    (folder / "new").write_bytes(b"2")
    if moment == "inside":
        die()
"""


@pytest.mark.parametrize(("moment", "seen"), [("inside", ["old"]), ("between", None), ("after", ["new"])])
def test_a_killed_stage_leaves_a_whole_folder_or_none(tmp_path: Path, moment: str, seen: list[str] | None) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_bytes(b"1")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], cwd=Path(artifacts.__file__).parents[1])
    assert killed.returncode == -signal.SIGKILL
    assert (os.listdir(path) if path.exists() else None) == seen
    with pytest.raises(ZeroDivisionError), fresh_folder(path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(path) == (seen or ["old"])


def test_tidying_touches_no_other_folder(tmp_path: Path) -> None:
    others = [".a.b.01234567.tmp", ".a.0123456.tmp", ".a.01234567.part", ".b.01234567.tmp", "a.01234567.tmp"]
    for name in [*others, ".a.01234567.tmp", ".a.01234567.old"]:
        (tmp_path / name).mkdir()
    with fresh_folder(tmp_path / "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing: run it again"),
        (b"", r"is not valid JSON \(.*\): run it again"),
        (b'{"a": 1', r"is not valid JSON \(.*\): run it again"),
        (b"\xff\xfe", r"is not valid JSON \(.*\): run it again"),
    ],
)
def test_read_json_names_file_and_hint(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path} {message}$"):
        read_json(path, "run it again")


def test_read_json_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path)


def test_copy_file_copies_bytes_and_names_an_unreadable_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 9000)
    copy_file(tmp_path / "a", tmp_path / "new" / "b")
    assert (tmp_path / "new" / "b").read_bytes() == (tmp_path / "a").read_bytes()
    with pytest.raises(UserError, match=r"cannot read .*missing"):
        copy_file(tmp_path / "missing", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_sha256_is_that_of_hashlib(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 7)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "clean"
    for name, data in (("train/b.png", b"bb"), ("train/a.png", b"a"), ("test/c d.jpg", b""), ("a", b"x")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_manifest_lists_files_sorted_and_its_name_can_be_computed_by_hand(dataset: Path) -> None:
    manifest = write_manifest(dataset)
    data = json.loads((dataset / "manifest.json").read_text())
    assert [entry["path"] for entry in data["files"]] == ["a", "test/c d.jpg", "train/a.png", "train/b.png"]
    assert [entry["bytes"] for entry in data["files"]] == [1, 0, 1, 2]
    listing = subprocess.run(
        ["sha256sum", *(entry["path"] for entry in data["files"])], cwd=dataset, capture_output=True, check=True
    ).stdout
    assert data["dataset_sha256"] == manifest.dataset_sha256 == hashlib.sha256(listing).hexdigest()
    assert write_manifest(dataset) == manifest == verify_manifest(dataset)


def change(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("train/a.png", b"b"), "train/a.png was changed"),
        (change("train/a.png", b"longer"), "train/a.png was changed"),
        (change("train/e.png", b"e"), "train/e.png is not listed"),
        (change("train/.hidden", b"e"), "train/.hidden is not listed"),
        (lambda folder: (folder / "train/a.png").unlink(), "train/a.png is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (change("manifest.json", b"[]"), "is not a manifest"),
        (change("manifest.json", b'{"files": [{"path": "a"}]}'), "is not a manifest"),
        (change("manifest.json", b'{"files": [], "dataset_sha256": "0"}'), "was changed"),
    ],
)
def test_manifest_tells_every_difference(dataset: Path, damage: Callable[[Path], None], message: str) -> None:
    write_manifest(dataset)
    damage(dataset)
    with pytest.raises(UserError, match=f"{message}.*: do this$"):
        verify_manifest(dataset, "do this")


def test_manifest_message_stays_short(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    for number in range(30):
        (tmp_path / f"{number:02}").touch()
    with pytest.raises(UserError, match=r"00 is not listed; .*; and 22 more$"):
        verify_manifest(tmp_path)


def test_writers_of_one_file_never_show_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([value]) * 100_000 for value in range(4)]
    threads = [threading.Thread(target=atomic_write_bytes, args=(path, data)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]
