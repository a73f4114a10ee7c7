"""What the user can mend, in one line."""

from __future__ import annotations

from pathlib import Path

from tatsnet.system.replacing import FULL


class CommandError(Exception):
    """A command that cannot do what was asked: the message says what was wrong, where, and what to do."""


def explain(error: OSError, place: Path | None) -> str:
    """One line on a file: the system's error names the file, or else the place; a message of our own stands alone."""
    where = error.filename or place
    advice = "; free some space or write elsewhere" if error.errno in FULL else ""
    return f"{where}: {error.strerror}{advice}" if where and error.strerror else str(error)


def told(error: BaseException, place: Path | None = None) -> str | None:
    """The message for an error that the user can mend; None for a mistake of the program, whose traceback is wanted.

    Args:
        error: of any kind.
        place: the file or folder that the work was about, where the error names none.
    """
    where = f"{place}: " if place is not None else ""
    match error:
        case CommandError():
            return str(error)
        case MemoryError():
            return where + (str(error) or "not enough memory; make the photo smaller or free some memory")
        case ImportError():
            return f"a package cannot be loaded ({error}); install this project's dependencies again"
        case UnicodeError():
            return f"{where}a name or a text is not in the encoding that was expected ({error}); rename or convert it"
        case RecursionError():
            return f"{where}nested too deeply to be read"
        case OSError():
            return explain(error, place)
        case ValueError():
            return str(error) or f"{where}a value that cannot be used"
        case RuntimeError() if "allocate" in str(error) or "out of memory" in str(error).lower():
            return f"{where}not enough memory; make the photo smaller or free some memory"
        case _:
            return None


def shown(name: object) -> str:
    """A name for people: what cannot be printed, such as a line break or bytes that are no text, is a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(name))
