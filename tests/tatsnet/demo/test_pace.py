"""A preview under a moving hand shows as many pixels as the machine has time for now."""

from __future__ import annotations

import pytest

from tatsnet.demo.pace import TARGET, Pace


@pytest.mark.parametrize("seconds_per_pixel", [1e-8, 3e-7, 1e-4])
def test_that_many_pixels_take_the_time_that_there_is(seconds_per_pixel: float) -> None:
    pace = Pace()
    for _ in range(9):
        pace.learn(1000, 1000 * seconds_per_pixel)
    assert pace.pixels() == pytest.approx(TARGET / seconds_per_pixel, rel=0.01)


def test_one_slow_preview_is_forgiven_and_many_are_not() -> None:
    pace = Pace()
    for _ in range(9):
        pace.learn(1000, 1e-3)
    before = pace.pixels()
    pace.learn(1000, 1.0)
    assert pace.pixels() == before
    for _ in range(4):
        pace.learn(1000, 1.0)
    assert pace.pixels() < before / 100


def test_it_forgets_a_slow_start() -> None:
    pace = Pace()
    pace.learn(1000, 10.0)
    for _ in range(9):
        pace.learn(1000, 1e-5)
    assert pace.pixels() == pytest.approx(TARGET / 1e-8, rel=0.01)
