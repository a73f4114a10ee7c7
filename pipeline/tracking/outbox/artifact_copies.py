"""Copies of artifacts that wait to be sent: their sources may change or vanish meanwhile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

LARGEST = 200 * 2**20
MOST = 2 * 2**30
_ABANDONED_S = 3600.0


def keep_copy(path: Path, folder: Path, *, largest: int = LARGEST, most: int = MOST) -> str:
    """Copy a file, or what a folder holds, into a new folder below `folder`.

    Args:
        largest: bytes that one artifact may have.
        most: bytes that all copies together may have.

    Returns:
        The new folder's name.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is larger than what is kept.
        OSError: it cannot be read, or the copy cannot be written.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    size = _bytes(path)
    if size > largest:
        raise ValueError(f"{path} has {_mb(size)}, and an artifact may have {_mb(largest)} at most")
    if size + (waiting := _bytes(folder)) > most:
        raise ValueError(f"{path} has {_mb(size)}, {_mb(waiting)} wait already, and {_mb(most)} may wait at most")
    place = folder / uuid4().hex
    place.mkdir(parents=True)
    try:
        if path.is_dir():
            shutil.copytree(path, place, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, place / path.name)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place.name


def drop_copy(folder: Path, name: str) -> None:
    """Remove a copy; it may be gone already."""
    shutil.rmtree(folder / name, ignore_errors=True)


def drop_abandoned(folder: Path, wanted: Collection[str]) -> None:
    """Remove copies that no record names and that nobody can be making any more: left by a kill."""
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.name not in wanted and time.time() - place.stat().st_mtime > _ABANDONED_S:
            drop_copy(folder, place.name)


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
