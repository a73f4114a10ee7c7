"""PSNR and SSIM: values by hand, and the laws that they keep."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from tatsnet.quality.metrics import SSIM_LEAST_SIDE, psnr, ssim

Bytes = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo() -> Bytes:
    return np.ascontiguousarray(skimage.data.astronaut()[100:164, 180:260])


def noisy(image: Bytes, sigma: float) -> Bytes:
    noise = np.random.default_rng(7).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_psnr_by_hand() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    one_off = black.copy()
    one_off[0, 0, 0] = 12  # mean square 144 / 12 = 12
    assert psnr(black, one_off) == pytest.approx(10 * math.log10(65025 / 12), abs=1e-12)
    assert psnr(black, black + np.uint8(255)) == 0
    assert psnr(black, black) == math.inf


def test_psnr_does_not_wrap_around() -> None:
    low, high = np.full((1, 1, 3), 10, np.uint8), np.full((1, 1, 3), 250, np.uint8)
    assert psnr(low, high) == pytest.approx(20 * math.log10(255 / 240))


def test_ssim_by_hand() -> None:
    first, second = np.full((16, 20, 3), 100, np.uint8), np.full((16, 20, 3), 110, np.uint8)
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 110 + constant) / (100**2 + 110**2 + constant)
    assert ssim(first, second) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_a_window_by_hand(photo: Bytes) -> None:
    first = photo[:SSIM_LEAST_SIDE, :SSIM_LEAST_SIDE]
    second = noisy(first, 20)
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line)[..., None] / line.sum() ** 2
    x, y = first.astype(float), second.astype(float)
    mean_x, mean_y = (window * x).sum((0, 1)), (window * y).sum((0, 1))
    var_x, var_y = (window * x**2).sum((0, 1)) - mean_x**2, (window * y**2).sum((0, 1)) - mean_y**2
    cov = (window * x * y).sum((0, 1)) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    assert ssim(first, second) == pytest.approx(expected.mean(), abs=1e-10)


def test_both_worsen_with_noise(photo: Bytes) -> None:
    images = [noisy(photo, sigma) for sigma in (2, 8, 20, 50)]
    for metric in (psnr, ssim):
        scores = [metric(photo, image) for image in images]
        assert all(better > worse + 0.01 for better, worse in pairwise(scores)), scores


def test_both_are_symmetric_and_blind_to_channel_order(photo: Bytes) -> None:
    other = noisy(photo, 15)
    for metric in (psnr, ssim):
        assert metric(photo, other) == pytest.approx(metric(other, photo), abs=1e-12)
        assert metric(photo, other) == pytest.approx(metric(photo[..., ::-1], other[..., ::-1]), abs=1e-12)


def test_an_image_equals_itself(photo: Bytes) -> None:
    assert ssim(photo, photo) == pytest.approx(1, abs=1e-12)
    assert psnr(photo, photo) == math.inf


WRONG = {
    "float": (np.zeros((16, 16, 3)), np.zeros((16, 16, 3)), "uint8"),
    "shapes": (np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8), "differ in shape"),
    "grey": (np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8), "height x width x 3"),
    "no pixels": (np.zeros((0, 16, 3), np.uint8), np.zeros((0, 16, 3), np.uint8), "height x width x 3"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_wrong_arrays_are_refused(case: tuple[Bytes, Bytes, str]) -> None:
    first, second, message = case
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=message):
            metric(first, second)


@pytest.mark.parametrize("shape", [(10, 40, 3), (40, 10, 3), (1, 1, 3)])
def test_ssim_names_its_least_size(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(image, image)
    assert psnr(image, image) == math.inf
