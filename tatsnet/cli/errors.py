"""What the user can mend."""

from __future__ import annotations

from pathlib import Path


class CommandError(Exception):
    """A command that cannot do what was asked: the message says what was wrong, where, and what to do."""


def explain(error: OSError, place: Path | None) -> str:
    """One line on a file: the system's error names the file, or else the place; a message of our own stands alone."""
    where = error.filename or place
    return f"{where}: {error.strerror}" if where and error.strerror else str(error)
