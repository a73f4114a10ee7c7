"""What a section's values must hold, told as a `ValueError` that names the value; the loader adds line and key."""

from __future__ import annotations

import math
import re

LEAST_SIDE, GREATEST_SIDE = 16, 16384


def require(holds: bool, message: str) -> None:
    """Raise a ValueError of this message unless it holds."""
    if not holds:
        raise ValueError(message)


def at_least(least: float, **values: float) -> None:
    """Every value is finite and no smaller."""
    for name, value in values.items():
        require(math.isfinite(value) and value >= least, f"{name} must be at least {least}, got {value}")


def positive(**values: float) -> None:
    """Every value is finite and above 0."""
    for name, value in values.items():
        require(math.isfinite(value) and value > 0, f"{name} must be above 0, got {value}")


def each_once(name: str, values: tuple[str, ...]) -> None:
    """There is at least one value, and none twice."""
    require(len(values) > 0, f"{name} must name at least one")
    require(len(set(values)) == len(values), f"{name} names one twice: {', '.join(values)}")


def parse_size(text: str, key: str = "sizes") -> tuple[int, int]:
    """(width, height) of `WIDTHxHEIGHT`.

    Args:
        key: where it stands, for the message.

    Raises:
        ValueError: another form, or a side out of 16 .. 16384 pixels.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    require(match is not None, f"{key} must read WIDTHxHEIGHT, as 1280x720, got {text!r:.60}")
    assert match is not None
    width, height = int(match[1]), int(match[2])
    require(
        LEAST_SIDE <= min(width, height) and max(width, height) <= GREATEST_SIDE,
        f"{key} must have sides of {LEAST_SIDE} to {GREATEST_SIDE} pixels, got {text!r:.60}",
    )
    return width, height
