"""Previews are as large as the machine can follow with."""

from __future__ import annotations

import pytest

from tatsnet.demo.pace import SIZES, TARGET, Pace


@pytest.mark.parametrize(
    ("seconds_at_640", "expected"),
    [(0.01, 640), (TARGET, 640), (1.2 * TARGET, 512), (4.2 * TARGET, 256), (90.0, SIZES[-1])],
)
def test_the_size_is_the_largest_in_time(seconds_at_640: float, expected: int) -> None:
    pace = Pace()
    assert pace.size(4000, 6000) == 640
    for _ in range(3):
        pace.learn(427 * 640, seconds_at_640 * 427 * 640 / (640 * 640 * 4000 / 6000))
    assert pace.size(4000, 6000) == expected
    assert pace.size(100, 120) in (640, SIZES[-1])


def test_it_forgets_a_slow_start() -> None:
    pace = Pace()
    pace.learn(1000, 10.0)
    for _ in range(40):
        pace.learn(1000, 1e-5)
    assert pace.size(640, 640) == 640
