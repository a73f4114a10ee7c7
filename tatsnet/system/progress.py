"""Progress of long work as plain lines: what, how far, how long still."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate


def duration(seconds: float) -> str:
    """Seconds as `48 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Ticker:
    """Says how far a piece of work is, at most every few seconds and once at the end.

    Args:
        label: what is going on, as `pretrain`.
        total: its steps.
        out: takes the lines.
        start: of these, done before; the time left follows from the others.
        work: of each step, in any unit, where they differ.
        every: least seconds between two lines.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        label: str,
        total: int,
        out: Callable[[str], None],
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        start: int = 0,
        work: Sequence[float] = (),
    ) -> None:
        self._label, self._total, self._every, self._out, self._clock = label, total, every, out, clock
        self._start = start
        self._work = [*accumulate(work, initial=0.0)] if work else range(total + 1)
        self._begun = clock()
        self._last = self._begun

    def at(self, done: int, note: str = "") -> None:
        """`done` of the steps are finished."""
        now = self._clock()
        if done < self._total and now - self._last < self._every:
            return
        self._last = now
        spent = now - self._begun
        made = self._work[min(done, self._total)] - self._work[self._start]
        parts = [self._label, f"{done}/{self._total}", note]
        if done >= self._total:
            parts.append(duration(spent))
        elif made > 0:
            rest = self._work[self._total] - self._work[done]
            parts.append(f"{duration(spent * rest / made)} left")
        self._out("  ".join(part for part in parts if part))
