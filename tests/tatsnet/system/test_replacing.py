"""Files and folders appear whole, replace only what they may, and keep what they can on any file system."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tatsnet.system.replacing import check_writable, fresh_folder, write_atomically


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_is_written_to(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(number))  # such file systems cannot be had for the asking
    write_atomically(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_leaves_the_old_file(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"older")
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        write_atomically(tmp_path / "a", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"older"


def test_a_file_system_without_permissions_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"older")
    monkeypatch.setattr(shutil, "copymode", failing(errno.EPERM))
    monkeypatch.setattr(os, "chown", failing(errno.EPERM), raising=False)
    write_atomically(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_what_is_replaced_keeps_its_permissions(mode: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"older")
    (tmp_path / "d").mkdir()
    for name in ("a", "d"):
        (tmp_path / name).chmod(mode | 0o200)
    write_atomically(tmp_path / "a", b"1")
    with fresh_folder(tmp_path / "d", lambda _: []):
        pass
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "d")} == {mode | 0o200}


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "a b\n"])
def test_any_legal_name(name: str, tmp_path: Path) -> None:
    write_atomically(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"
    (tmp_path / name).unlink()
    with fresh_folder(tmp_path / name, lambda _: []) as folder:
        (folder / "f").touch()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["f"]


def test_a_folder_that_gains_a_file_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="holds something else"), fresh_folder(tmp_path / "d", lambda _: []):
        (tmp_path / "d" / "mine").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["d", "mine"]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("new.json", True),
        ("there.json", True),
        ("new/folder/a.json", True),
        ("closed.json", False),
        ("folder", False),
        ("there.json/below", False),
        ("shut/a.json", False),
        ("pipe", False),
    ],
)
def test_what_can_be_written_is_known_before(name: str, allowed: bool, tmp_path: Path) -> None:
    (tmp_path / "there.json").touch()
    (tmp_path / "closed.json").touch()
    (tmp_path / "closed.json").chmod(0o444)
    (tmp_path / "folder").mkdir()
    (tmp_path / "shut").mkdir(mode=0o555)
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    if allowed:
        check_writable(tmp_path / name)
    else:
        with pytest.raises(OSError, match=r"give another|give the name"):
            check_writable(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
