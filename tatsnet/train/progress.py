"""Lines that tell how far a training is."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 5.0
SMOOTHED = 8
"""Reports whose mean loss is shown."""


class Ticker:
    """Tells iteration, loss, and the time that is left.

    Args:
        label: of the training.
        start: iterations done before.
        tell: shows a line to the user.
    """

    def __init__(self, label: str, start: int, iterations: int, tell: Callable[[str], None]) -> None:
        self._label, self._start, self._iterations, self._tell = label, start, iterations, tell
        self._began = self._last = time.monotonic()
        self._losses: list[float] = []

    def at(self, iteration: int, loss: float) -> None:
        """Tell, if it is time to."""
        self._losses = [*self._losses[1 - SMOOTHED :], loss]
        now = time.monotonic()
        if now - self._last < EVERY_S and iteration < self._iterations:
            return
        self._last = now
        rate = (iteration - self._start) / max(now - self._began, 1e-9)
        left = (self._iterations - iteration) / max(rate, 1e-9)
        mean = sum(self._losses) / len(self._losses)
        done = f"{iteration}/{self._iterations}"
        self._tell(f"{self._label}  {done}  loss {mean:.4f}  {rate:.1f} iterations/s  {left:.0f} s left")
