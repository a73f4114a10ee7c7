"""How far a long transfer is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.sources.source import Report


class Progress:
    """Tells a report, every few seconds, how many of a file's bytes are there.

    Args:
        name: of the file.
        total: bytes.
        every: seconds between two lines.
        clock: seconds from any fixed moment.
    """

    def __init__(
        self, name: str, total: int, report: Report, every: float = 3.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._total, self._report, self._every, self._clock = name, total, report, every, clock
        self._start: tuple[float, int] | None = None
        self._told = clock()

    def at(self, done: int) -> None:
        """Take note of `done` bytes; the time left follows from the speed since the first call."""
        now = self._clock()
        if self._start is None:
            self._start = (now, done)
        if now - self._told < self._every:
            return
        self._told = now
        since, before = self._start
        speed = (done - before) / (now - since) if now > since else 0.0
        left = f", {duration((self._total - done) / speed)} left" if speed > 0 else ""
        share = f"{100 * done / self._total:.0f} %" if self._total else "100 %"
        self._report(f"{self._name}: {share}, {megabytes(done)} of {megabytes(self._total)}{left}")


def megabytes(count: int) -> str:
    """Bytes as a readable number of MB (10^6)."""
    return f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Seconds as s, min or h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
