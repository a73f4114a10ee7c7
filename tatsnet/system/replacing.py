"""Files and folders that appear whole or not at all, and replace only what they may."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a file that may not grow any more."""

WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
"""Somebody may write; without it even an administrator should not."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it holds all of `data` or what it held before; missing parent folders are made.

    A file that is replaced keeps its permissions and, if it may, its owner.

    Raises:
        OSError: the disk is full, read-only, or there is no permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            _sync(file.fileno())
        keep_permissions(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def fresh_folder(path: Path, own: Callable[[Path], Collection[str]]) -> Iterator[Path]:
    """A new, empty folder that takes the place of `path` when the block ends well.

    The block writes into a hidden sibling. On any exception, an interrupt too, the sibling is removed and `path` is
    as it was. A folder that is replaced keeps its permissions.

    Args:
        path: of the folder; one that is there is replaced only if this program made all that it holds.
        own: the files, relative to a folder, that this program made there.

    Raises:
        ValueError: the folder holds something else.
        OSError: the folder cannot be made or swapped in, is read-only, or is the one that the process is in.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_replaceable(path, own)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        _check_replaceable(path, own)
        keep_permissions(path, temporary)
        _swap(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_writable(path: Path) -> None:
    """Refuse, before any long work, a place that `write_atomically` could not write to.

    Raises:
        OSError: it is a folder or a device, is read-only, or lies below a file or in a read-only folder.
    """
    if path.exists():
        if not path.is_file():
            raise OSError(errno.EISDIR, "is no file; give the name of a file", str(path))
        if not path.stat().st_mode & WRITABLE or not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "is read-only; give another name", str(path))
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file; give another folder", str(folder))
    if not folder.stat().st_mode & WRITABLE or not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "is read-only; give another folder", str(folder))


def keep_permissions(old: Path, new: Path) -> None:
    """Give a file or folder the permissions and the owner of the one that it replaces.

    As far as may be: not every file system has them, and only an administrator gives files away.
    """
    try:
        before = old.stat()
    except FileNotFoundError:
        return
    made = new.stat()
    chown = getattr(os, "chown", None)
    if chown is not None and (before.st_uid, before.st_gid) != (made.st_uid, made.st_gid):
        with suppress(OSError):
            chown(new, before.st_uid, before.st_gid)
    with suppress(OSError):
        shutil.copymode(old, new)


def _sync(descriptor: int) -> None:
    """Wait until the disk has a file; some network file systems cannot say so."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def _check_replaceable(path: Path, own: Callable[[Path], Collection[str]]) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"{path} is a file; give another folder")
    made = set(own(path))
    found = (entry for entry in sorted(path.rglob("*")) if entry.is_symlink() or not entry.is_dir())
    other = next((entry for entry in found if entry.relative_to(path).as_posix() not in made), None)
    if other is not None:
        raise ValueError(
            f"{path} holds something else ({other.relative_to(path)}), which would be lost; give another folder"
        )
    if not path.stat().st_mode & WRITABLE or not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "is read-only; give another folder or change its permissions", str(path))
    if Path.cwd().is_relative_to(path):
        raise OSError(errno.EBUSY, "is the folder that you are in; go elsewhere or give another one", str(path))


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        os.rename(new, path)
        return
    old = new.with_suffix(".old")
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)
