"""Auto's estimate: it is near what was done to a photo, and a worse photo gets a higher level."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from tatsnet.data.degradation import Degradation, degrade
from tatsnet.quality.estimation import estimate

GOOD = Degradation()


def told(photo: str, degradation: Degradation) -> tuple[float, float, float]:
    image = getattr(skimage.data, photo)()
    return estimate(degrade(image, degradation, np.random.default_rng(0)).astype(np.float32) / 255).task


@pytest.mark.parametrize("photo", ["astronaut", "coffee"])
@pytest.mark.parametrize(
    "degradation",
    [
        GOOD,
        Degradation(0, 25),
        Degradation(0, 50),
        Degradation(0, 0, 60),
        Degradation(0, 0, 10),
        Degradation(2, 25, 30),
    ],
)
def test_it_is_near(photo: str, degradation: Degradation) -> None:
    assert np.abs(np.subtract(told(photo, degradation), degradation.task)).max() < 0.25


@pytest.mark.parametrize("photo", ["astronaut", "coffee"])
@pytest.mark.parametrize(
    ("axis", "steps"),
    [
        (0, [GOOD, Degradation(2), Degradation(4)]),
        (1, [GOOD, Degradation(0, 10), Degradation(0, 25), Degradation(0, 50)]),
        (2, [GOOD, Degradation(0, 0, 60), Degradation(0, 0, 10)]),
    ],
)
def test_more_of_it_is_told_as_more(photo: str, axis: int, steps: list[Degradation]) -> None:
    levels = [told(photo, degradation)[axis] for degradation in steps]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0] + 0.5


@pytest.mark.parametrize("shape", [(1, 1), (23, 500), (24, 24), (25, 3000)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_any_photo_gets_levels(shape: tuple[int, int], value: float) -> None:
    found = estimate(np.full((*shape, 3), value, np.float32))
    assert all(0 <= level <= 1 for level in found.task)
    assert found.quality is None or 10 <= found.quality <= 100
