"""Numbers and paths on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path


def count(text: str) -> int:
    """A whole number from 1.

    Raises:
        ArgumentTypeError: it is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a whole number from 1 to 999999999")
    return int(text)


def path(text: str) -> Path:
    """A path that names something: an empty one would be taken for the folder that the command was called in.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("an empty path names no file and no folder")
    return Path(text)
