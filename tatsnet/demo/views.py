"""What of a photo the page shows, and at which scale: only that is restored while the hand moves."""

from __future__ import annotations

import math
from typing import NamedTuple

from tatsnet.pruned.boxes import Box, check_box

SIZES = (
    128,
    160,
    192,
    232,
    272,
    320,
    384,
    448,
    536,
    640,
    800,
    1024,
    1280,
    1600,
    2048,
    2560,
    3200,
    4096,
    5120,
    6400,
    8192,
)
"""Longer sides, pixels, to which photos are scaled down."""

MOST_PIXELS = 2**20
"""Of a view, whatever the page asks for."""


class View(NamedTuple):
    """A rectangle of a scaled photo.

    Attributes:
        size: longer side of the whole photo at this scale, pixels.
        height, width: of the whole photo at this scale.
        box: the rectangle, in pixels at this scale.
    """

    size: int
    height: int
    width: int
    box: Box

    @property
    def pixels(self) -> int:
        """Of the rectangle."""
        return (self.box.bottom - self.box.top) * (self.box.right - self.box.left)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Where the rectangle lies in the photo: top, left, bottom, right, each from 0 to 1."""
        top, left, bottom, right = self.box
        return top / self.height, left / self.width, bottom / self.height, right / self.width


def views(height: int, width: int, box: Box, wanted: int) -> list[View]:
    """The scales at which a rectangle can be shown, the largest first.

    The first is no smaller than wanted, unless the photo is or it would have more than `MOST_PIXELS`.

    Args:
        height, width: of the photo, pixels.
        box: the rectangle, in the photo's pixels.
        wanted: longer side that the whole photo would have at the scale of the screen, pixels.

    Raises:
        ValueError: the rectangle is empty or sticks out of the photo.
    """
    longer = max(height, width)
    check_box(box, Box(0, 0, height, width))
    sizes = [*(size for size in SIZES if size < longer), longer]
    enough = next((size for size in sizes if size >= wanted), longer)
    made = [_scaled(height, width, box, size) for size in sizes if size <= enough]
    return [view for view in reversed(made) if view.pixels <= MOST_PIXELS] or made[:1]


def _scaled(height: int, width: int, box: Box, size: int) -> View:
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    down, across = rows / height, columns / width
    return View(
        size,
        rows,
        columns,
        Box(
            math.floor(box.top * down),
            math.floor(box.left * across),
            min(rows, math.ceil(box.bottom * down)),
            min(columns, math.ceil(box.right * across)),
        ),
    )
