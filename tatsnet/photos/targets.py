"""The file that a photo is written to: refused before the work where it could not be written, replaced whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tatsnet.system.replacing import FULL, WRITABLE, write_atomically

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
"""Formats that are read and written, by suffix. Reading goes by the content, never by the name."""

MOST_SIDE = {"JPEG": 65_500, "PNG": 1_000_000, "WEBP": 16_383}
"""Pixels of the longer side that a format, or the library that writes it, can hold."""

LONGEST_NAME = 255


class PhotoError(ValueError):
    """A photo that cannot be read or written: the message says which, why, and what to do."""


def check_target(path: Path, width: int = 1, height: int = 1) -> str:
    """Refuse a target that could not be written.

    Args:
        path: the target.
        width, height: of the image, pixels.

    Returns:
        The format: `JPEG`, `PNG`, `TIFF` or `WEBP`.

    Raises:
        PhotoError: see `files.check_output`.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(FORMATS)
        raise PhotoError(f"{path}: cannot tell the format from the suffix {path.suffix!r}; end the name in {known}")
    most = MOST_SIDE.get(kind)
    if most is not None and max(width, height) > most:
        raise PhotoError(
            f"{path}: {width}x{height} pixels cannot be stored as {kind} (at most {most} a side); write to a .tif"
            f"{'' if kind == 'PNG' else ' or .png'}"
        )
    try:
        _check_place(path)
    except (OSError, ValueError) as error:  # no such network folder, too many links, a zero byte in the name, ...
        if isinstance(error, PhotoError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{path}: cannot be written ({reason}); give another name") from error
    return kind


def check_room(path: Path, least_bytes: int) -> None:
    """Refuse a target for which its disk has no room.

    Args:
        path: the target, or the first of several in a folder.
        least_bytes: that they will take at the least.

    Raises:
        PhotoError: fewer are free.
    """
    try:
        free = shutil.disk_usage(_target(path).parent).free
    except OSError:  # some file systems do not say
        return
    if free < least_bytes:
        raise PhotoError(
            f"{path}: the disk has {free / 1e6:.1f} MB free, at least {least_bytes / 1e6:.1f} MB will be written; "
            "free some space or write elsewhere"
        )


def write_target(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; one that is there is replaced and keeps its permissions and, if it may, its
    owner. A link stays a link: the file that it names is written.

    Raises:
        PhotoError: a full disk or another failure to write.
    """
    try:
        write_atomically(_target(path), data)
    except OSError as error:
        advice = "check the folder and its permissions"
        if error.errno in FULL:
            advice = "free some space or write elsewhere"
        raise PhotoError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


def _check_place(path: Path) -> None:
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise PhotoError(f"{path.name[:40]}...: the name has more than {LONGEST_NAME} bytes; give a shorter one")
    if path.is_dir():
        raise PhotoError(f"{path}: is a folder; give the name of a file")
    target = _target(path)
    if target.is_symlink():
        raise PhotoError(f"{path}: cannot be written (a link that leads to itself); give another name")
    folder = target.parent
    if not folder.is_dir():
        raise PhotoError(f"{path}: there is no folder {folder}; create it first")
    if target.exists():
        if not target.is_file():
            raise PhotoError(f"{path}: is a device or a pipe, not a file; give the name of a file")
        if not target.stat().st_mode & WRITABLE or not os.access(target, os.W_OK):
            raise PhotoError(f"{path}: is there and read-only; give another name or change its permissions")
    if not folder.stat().st_mode & WRITABLE or not os.access(folder, os.W_OK | os.X_OK):
        raise PhotoError(f"{path}: the folder {folder} is read-only; write elsewhere or change its permissions")


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))
