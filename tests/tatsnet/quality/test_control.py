"""Control by hand: restorers whose gain, travel and rest state are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tatsnet.network.tasks import AXES
from tatsnet.quality.control import ALONE, STEPS, Control, evenness, measure_control, rms
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid, make_eval_photos, restore_all, to_batch
from tatsnet.quality.metrics import psnr

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photo() -> EvalPhoto:
    y, x = np.mgrid[0:24, 0:24][..., None]
    clean = np.clip(128 + 90 * np.sin(x / np.array([2, 3, 5])) * np.cos(y / 3), 0, 255).astype(np.uint8)
    return make_eval_photos("waves", clean, 0, 0, seed=0)[0]


def towards_clean(photo: EvalPhoto, shares: tuple[float, float, float]) -> object:
    """Each axis takes away its share of the error, in proportion to its slider."""
    clean, weights = to_batch([photo.clean], CPU), torch.tensor(shares)

    def restore(image: Tensor, task: Tensor) -> Tensor:
        return image + (task * weights).sum(1)[:, None, None, None] * (clean - image)

    return restore


def test_gain_is_that_of_each_axis_alone_with_its_true_task(photo: EvalPhoto) -> None:
    restore = towards_clean(photo, (0.5, 0.9, 0.0))
    found = measure_control(restore, [photo], CPU)  # type: ignore[arg-type]
    for axis, degradations in ALONE.items():
        gains = []
        for degradation in degradations:
            image = photo.degraded[degraded_grid().index(degradation)]
            (out,) = restore_all(restore, [image], [degradation.task], CPU)  # type: ignore[arg-type]
            gains.append(psnr(out, photo.clean) - psnr(image, photo.clean))
        assert found.gain_db[axis] == pytest.approx(np.mean(gains))
    assert found.gain_db["denoise"] > found.gain_db["deblur"] > found.gain_db["dejpeg"] == 0
    assert found.off_rms == 0


def test_a_slider_that_moves_a_photo_and_does_not_mend_it_gains_nothing(photo: EvalPhoto) -> None:
    def darken(image: Tensor, task: Tensor) -> Tensor:
        return image - 0.2 * task.amax(1)[:, None, None, None]

    found = measure_control(darken, [photo], CPU)
    assert all(gain < 0 for gain in found.gain_db.values())
    assert all(
        share < 0 for share in found.shares(Control(**{**vars(found), "gain_db": dict.fromkeys(AXES, 4.0)})).values()
    )


def test_off_is_the_most_that_any_photo_changes_clean_or_degraded(photo: EvalPhoto) -> None:
    def brighten_dark(image: Tensor, task: Tensor) -> Tensor:
        return image + 3 / 255

    assert measure_control(brighten_dark, [photo], CPU).off_rms == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([10, 10, 10, 10], 1.0),
        ([0, 0, 0, 40], 1 / 4),
        ([20, 0, 20, 0], 1 / 2),
        ([0, 0, 0, 0], 0.0),
        ([5, 5, 10, 5], 25**2 / (4 * 175)),
    ],
)
def test_evenness_by_hand(steps: list[float], expected: float) -> None:
    assert evenness(steps) == pytest.approx(expected)
    assert evenness([3 * step for step in steps]) == pytest.approx(expected)


def test_travel_is_measured_in_tenths_on_the_input_that_needs_it(photo: EvalPhoto) -> None:
    def jump(image: Tensor, task: Tensor) -> Tensor:
        even, late = task[:, 0], (task[:, 1] > 0.95).float()
        return torch.full_like(image, 0.2) + (0.3 * (even + late))[:, None, None, None]

    found = measure_control(jump, [photo], CPU)
    assert found.evenness["deblur"] == pytest.approx(1.0, abs=0.01)
    assert found.evenness["denoise"] == pytest.approx(1 / STEPS, abs=0.01)
    assert found.evenness["dejpeg"] == 0


def test_shares_of_a_dense_network_that_gains_nothing_are_not_infinite() -> None:
    even = dict.fromkeys(AXES, 1.0)
    dense = Control(gain_db={"deblur": 4.0, "denoise": 0.0, "dejpeg": -1.0}, evenness=even, off_rms=0.0)
    found = Control(gain_db={"deblur": 2.0, "denoise": 0.05, "dejpeg": -0.1}, evenness=even, off_rms=0.1)
    assert found.shares(dense) == pytest.approx({"deblur": 0.5, "denoise": 0.5, "dejpeg": -1.0})
    assert found.beside(dense)["weakest_slider"] == pytest.approx(-1.0)
    assert Control.from_json(found.to_json()) == found


def test_rms_by_hand() -> None:
    a, b = np.full((2, 2, 3), 250, np.uint8), np.full((2, 2, 3), 250, np.uint8)
    b[0] = 0
    assert rms(a, a) == 0
    assert rms(a, b) == rms(b, a) == pytest.approx(250 / 2**0.5)
