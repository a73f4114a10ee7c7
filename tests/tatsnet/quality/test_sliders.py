"""Even sliders of restorers whose travel is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from tatsnet.network.sliders import PLAIN
from tatsnet.network.tasks import AXES
from tatsnet.quality.control import evenness, travel
from tatsnet.quality.evaluation import EvalPhoto, make_eval_photos
from tatsnet.quality.sliders import LEAST_SHARE, even_sliders

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> list[EvalPhoto]:
    pixels = np.random.default_rng(0).integers(60, 190, (2, 16, 16, 3), np.uint8)
    return [photo for index in range(2) for photo in make_eval_photos(str(index), pixels[index], 0, 0, seed=0)]


def fade(image: Tensor, task: Tensor) -> Tensor:
    """Moves the photo by the square of the level."""
    return image - 0.2 * (task**2).sum(1)[:, None, None, None]


def test_equal_moves_of_the_slider_move_the_photo_equally(photos: list[EvalPhoto]) -> None:
    sliders = even_sliders(fade, photos, CPU)
    for axis in AXES:
        before, after = (travel(fade, photos, axis, each, 10, CPU) for each in (PLAIN, sliders))
        assert evenness(before) < 0.8
        assert evenness(after) > 0.99
        assert sum(after) == pytest.approx(sum(before), rel=1e-3)


def test_an_axis_that_moves_nothing_keeps_its_levels(photos: list[EvalPhoto]) -> None:
    sliders = even_sliders(lambda image, task: image + 0 * task.sum(), photos, CPU)
    assert {axis: pytest.approx(levels) for axis, levels in PLAIN.levels.items()} == dict(sliders.levels)


def test_every_level_stays_reachable_behind_a_jump(photos: list[EvalPhoto]) -> None:
    def jump(image: Tensor, task: Tensor) -> Tensor:
        return image - 0.2 * (task >= 0.5).float().amax(1)[:, None, None, None]

    for axis, levels in even_sliders(jump, photos, CPU).levels.items():
        least = LEAST_SHARE * min(b - a for a, b in itertools.pairwise(levels))
        assert least > 0, axis
        assert evenness(travel(jump, photos, axis, PLAIN, 10, CPU)) == pytest.approx(0.1)
