"""What a command says: plain lines, on a terminal and in a log, and one that stays."""

from __future__ import annotations

import sys
from shutil import get_terminal_size

from tqdm import tqdm


def say(line: str) -> None:
    """Print a line at once, above a line that stays."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


class StayingLine:
    """A line that stays below all others while a block runs, on a terminal; in a log there is none."""

    def __enter__(self) -> StayingLine:
        self._bar = tqdm(bar_format="{desc}", file=sys.stdout, leave=False, disable=not sys.stdout.isatty())
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, text: str) -> None:
        """Replace it; what is wider than the terminal is cut."""
        self._bar.ncols = get_terminal_size().columns - 1
        self._bar.set_description_str(text)


def count(number: int, what: str) -> str:
    """A number with what it counts, as `1 photo` and `2 photos`.

    Args:
        what: one of them, in a word or words whose plural ends in s.
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
