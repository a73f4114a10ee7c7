"""Numbers on the command line."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A whole number from 1.

    Raises:
        ArgumentTypeError: it is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is not a whole number from 1 to 999999999")
    return int(text)
