"""What a command does about an error: one message that says what, where and what to do, and an exit status."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import advice_for
from pipeline.common.layout import STATE, home

DONE, FAILED, MISTAKEN, INTERRUPTED = 0, 1, 2, 130
_FAULTS = STATE / "last-error.txt"


def told(
    name: str,
    work: Callable[[], int],
    *,
    root: Path | None = None,
    interrupted: str = "interrupted",
) -> int:
    """Do the work of a command; its exit status.

    Args:
        name: stands before each message; empty for none.
        work: returns the exit status where nothing went wrong.
        root: the project's folder, where the traceback of a fault of the program is kept (default: the current folder).
        interrupted: said after Ctrl-C.

    Returns:
        What `work` returns; 2 for what the user can mend (a UserError, an error of the system, a package that does not
        load, a text that cannot be read or written), 1 for a value that the program did not expect, whose traceback
        goes to a file, and for an output that was closed; 130 after an interrupt.

    Raises:
        Exception: every other one is a fault of the program and keeps its traceback.
    """
    _take_any_text()
    try:
        status = work()
        _flush()
    except UserError as error:
        return _say(name, str(error), MISTAKEN)
    except KeyboardInterrupt:
        return _say(name, interrupted, INTERRUPTED)
    except BrokenPipeError:
        _close_output()
        return _say(name, "the output was closed before the end; run it again without closing it", FAILED)
    except (OSError, ImportError, UnicodeError, MemoryError) as error:
        return _say(name, mendable(error), MISTAKEN)
    except ValueError as error:
        return _say(name, f"{_one_line(error)}{_kept(root or Path())}", FAILED)
    return status


def mendable(error: OSError | ImportError | UnicodeError | MemoryError) -> str:
    """What an error that is no fault of the program means, and what to do."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        what = error.strerror or _one_line(error)
        return f"{where}{what}: {advice_for(error.errno)}"
    if isinstance(error, ImportError):
        return (
            f"a package is missing or does not load here ({_one_line(error)}): `make setup` installs all of them "
            "as they are pinned"
        )
    if isinstance(error, UnicodeError):
        return (
            f"a text or a name is not valid UTF-8 ({_one_line(error)}): rename the file or the folder, or save the "
            "text as UTF-8"
        )
    return "the memory is used up: end other programs, or lower the sizes in params.yaml"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _kept(root: Path) -> str:
    """Where the traceback is kept, as the end of a message; nothing where it cannot be."""
    path = home(root) / _FAULTS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
    return f". This was not expected; {path} says where it happened: send it with a report"


def _say(name: str, message: str, status: int) -> int:
    with suppress(OSError, ValueError):  # nobody reads it
        print(f"{name}: {message}" if name else message, file=sys.stderr, flush=True)
    return status


def _take_any_text() -> None:
    """A name that the terminal's encoding lacks is shown with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(ValueError):
                stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _close_output() -> None:
    """Let the interpreter, which writes what is left as it ends, write it where it is not missed."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
