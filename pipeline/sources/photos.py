"""Is a file a photo that the pipeline can use? Answered by decoding it."""

from __future__ import annotations

from pathlib import Path

from tatsnet.photos.files import PhotoError, read_photo

SUFFIXES = (".png", ".jpg", ".jpeg")
SMALLEST = 32
"""Pixels: a photo's width and height are at least so many."""
_CLUTTER = ("thumbs.db", "desktop.ini")


def is_clutter(name: str) -> bool:
    """Hidden files and those that desktops leave in every folder: nobody's photos."""
    return name.startswith(".") or name.lower() in _CLUTTER


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def photo_problem(path: Path) -> str | None:
    """What keeps a file from being used, or None. Greyscale, RGBA and 16-bit are no problem: later stages convert."""
    try:
        if not _is_text(path.name):
            return "its name is not valid UTF-8: rename it"
        if path.is_dir():
            return "a folder: photos lie directly in train/, valid/ and test/"
        if path.suffix.lower() not in SUFFIXES:
            return "not a .png, .jpg or .jpeg file: convert it or take it away"
        if not path.is_file():
            return "not a regular file, or a link to nothing"
        height, width, _ = read_photo(path).rgb_HWC.shape
    except PhotoError as error:
        return str(error).removeprefix(f"{path}: ")
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if min(width, height) < SMALLEST:
        return f"{width}x{height} pixels, the least is {SMALLEST}x{SMALLEST}"
    return None
