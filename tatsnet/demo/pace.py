"""How much a preview may show so that it follows the hand."""

from __future__ import annotations

from collections import deque
from threading import Lock

import numpy as np

TARGET = 0.085
"""Seconds that a preview may take: with its way to the page and onto the screen it stays under a tenth."""

START = 1e-6
"""Seconds for a pixel before any was measured: some three times what the shipped network takes on two free cores."""

_REMEMBERED = 9
_SHARE = 0.75


class Pace:
    """Learns from each preview how fast this machine is now. May be used by several threads."""

    def __init__(self) -> None:
        self._seconds_per_pixel: deque[float] = deque([START], _REMEMBERED)
        self._lock = Lock()

    def learn(self, pixels: int, seconds: float) -> None:
        """Take note of how long a preview took, its encoding left out."""
        with self._lock:
            self._seconds_per_pixel.append(seconds / max(1, pixels))

    def pixels(self) -> int:
        """How many pixels are in time, three times of four by what the last previews took."""
        with self._lock:
            recent = list(self._seconds_per_pixel)
        return int(TARGET / np.quantile(recent, _SHARE))
