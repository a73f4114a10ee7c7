"""How large a preview may be so that it follows the hand."""

from __future__ import annotations

from threading import Lock

SIZES = (640, 512, 400, 320, 256, 192, 128)
"""Longer sides of previews, pixels."""

TARGET = 0.06
"""Seconds that the network may take for one: with packing and drawing it stays under a tenth."""

_MEMORY = 0.7


class Pace:
    """Learns from each preview how fast this machine is. May be used by several threads."""

    def __init__(self) -> None:
        self._seconds_per_pixel = 0.0
        self._lock = Lock()

    def learn(self, pixels: int, seconds: float) -> None:
        """Take note of how long a preview took, its encoding left out."""
        with self._lock:
            now = seconds / max(1, pixels)
            old = self._seconds_per_pixel or now
            self._seconds_per_pixel = _MEMORY * old + (1 - _MEMORY) * now

    def size(self, height: int, width: int) -> int:
        """The largest of `SIZES` at which a photo of this shape is expected in time; else the smallest."""
        with self._lock:
            per_pixel = self._seconds_per_pixel
        longer, shorter = max(height, width), min(height, width)
        for size in SIZES:
            side = min(size, longer)
            if per_pixel * side * max(1, side * shorter / longer) <= TARGET:
                return size
        return SIZES[-1]
