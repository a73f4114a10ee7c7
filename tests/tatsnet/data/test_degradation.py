"""Blur, noise and JPEG against independent computations, their order, and levels to task vectors and back."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage
import skimage.data
from PIL import Image as PillowImage

from tatsnet.data.degradation import (
    Degradation,
    Image,
    blur,
    corrupt,
    degrade,
    evaluation_grid,
    from_levels,
    from_task,
    jpeg,
    noise_field,
)
from tatsnet.network.tasks import LEVELS

ALL = Degradation(blur=2.0, noise=25.0, quality=30)


@pytest.fixture(scope="module")
def photo() -> Image:
    return np.ascontiguousarray(skimage.data.astronaut()[100:164, 180:260])


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def blur_by_scipy(image: npt.NDArray[np.generic], width: float) -> npt.NDArray[np.float64]:
    """A normalised 21-tap Gaussian along each axis, the border repeated."""
    taps = np.exp(-0.5 * (np.arange(-10, 11) / width) ** 2)
    rows = scipy.ndimage.correlate1d(image.astype(np.float64), taps / taps.sum(), axis=0, mode="nearest")
    return np.asarray(scipy.ndimage.correlate1d(rows, taps / taps.sum(), axis=1, mode="nearest"))


def jpeg_by_pillow(image: Image, quality: int) -> Image:
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(PillowImage.open(file).convert("RGB"))


@pytest.mark.parametrize("width", [0.1, 0.5, 1.0, 2.0, 3.3, 4.0])
def test_blur_is_a_21_tap_gaussian(photo: Image, width: float) -> None:
    assert np.abs(blur(photo.astype(np.float32), width) - blur_by_scipy(photo, width)).max() < 2e-4


def test_no_blur_leaves_the_image(photo: Image) -> None:
    assert np.array_equal(blur(photo.astype(np.float32), 0), photo)


@pytest.mark.parametrize("size", [(64, 80), (37, 51), (1, 1)])
def test_jpeg_is_bit_identical_to_another_codec(photo: Image, size: tuple[int, int]) -> None:
    image = np.ascontiguousarray(photo[: size[0], : size[1]])
    for quality in range(10, 101, 2):
        assert np.array_equal(jpeg(image, quality), jpeg_by_pillow(image, quality)), quality


def test_no_jpeg_leaves_the_image(photo: Image) -> None:
    assert jpeg(photo, None) is photo


@pytest.mark.parametrize("sigma", [1.0, 5.0, 25.0])
def test_noise_has_its_standard_deviation(sigma: float) -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    error = degrade(grey, Degradation(noise=sigma), rng()).astype(np.float64) - 128
    rounded = math.sqrt(sigma**2 + 1 / 12)  # rounding to 8 bits adds a uniform error
    assert error.std() == pytest.approx(rounded, rel=0.02)
    assert abs(error.mean()) < 4 * sigma / math.sqrt(error.size)


def test_full_noise_is_clipped_not_wrapped() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    noisy = degrade(white, Degradation(noise=50), rng())
    assert (noisy == 255).mean() == pytest.approx(0.5, abs=0.02)
    assert noisy.min() > 0


def test_equal_seeds_give_equal_images(photo: Image) -> None:
    assert np.array_equal(degrade(photo, ALL, rng(1)), degrade(photo, ALL, rng(1)))
    assert not np.array_equal(degrade(photo, ALL, rng(1)), degrade(photo, ALL, rng(2)))


def test_every_degradation_draws_the_same_noise(photo: Image) -> None:
    for degradation in (Degradation(), ALL, Degradation(quality=10)):
        used = rng()
        degrade(photo, degradation, used)
        fresh = rng()
        noise_field(photo.shape, fresh)
        assert used.random() == fresh.random(), degradation


def test_blur_then_noise_then_jpeg(photo: Image) -> None:
    noise = rng().standard_normal(photo.shape, dtype=np.float32)
    noisy = blur_by_scipy(photo, 2.0) + 25 * noise
    before_jpeg = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    # The two blurs differ by 1e-4 of a step, so that of thousands of values one may round the other way.
    ours = degrade(photo, Degradation(blur=2.0, noise=25.0), rng())
    assert (ours != before_jpeg).sum() <= 3
    assert np.array_equal(degrade(photo, ALL, rng()), jpeg_by_pillow(ours, 30))


def test_corrupt_rounds_half_to_even_and_clips() -> None:
    values = np.array([[[-3.0, 0.5, 1.5], [99.4, 99.6, 300.0]]], np.float32)
    assert corrupt(values, Degradation(), np.zeros_like(values)).tolist() == [[[0, 0, 2], [99, 100, 255]]]
    one = np.ones_like(values)
    assert corrupt(values, Degradation(noise=10), one).tolist() == [[[7, 10, 12], [109, 110, 255]]]


@pytest.mark.parametrize(
    ("levels", "physical", "task"),
    [
        ((0, 0, 0), Degradation(), (0, 0, 0)),
        ((40, 50, 46), Degradation(4, 50, 10), (1, 1, 1)),
        ((20, 25, 21), Degradation(2, 25, 60), (0.5, 0.5, 42 / 92)),
        ((1, 1, 1), Degradation(0.1, 1, 100), (1 / 40, 1 / 50, 2 / 92)),
    ],
)
def test_levels_by_hand(levels: tuple[int, int, int], physical: Degradation, task: tuple[float, ...]) -> None:
    assert from_levels(levels) == physical
    assert physical.task == pytest.approx(task, abs=1e-15)


def test_levels_and_task_vectors_convert_both_ways_over_the_whole_grid() -> None:
    axes = [range(top + 1) for top in LEVELS]
    assert [len(axis) for axis in axes] == [41, 51, 47]
    seen = set()
    for levels in itertools.product(*axes):
        degradation = from_levels(levels)
        back = from_task(degradation.task)
        assert tuple(round(x * top) for x, top in zip(degradation.task, LEVELS, strict=True)) == levels
        assert back.quality == degradation.quality
        assert abs(back.blur - degradation.blur) + abs(back.noise - degradation.noise) < 1e-12
        seen.add(degradation)
    assert len(seen) == 41 * 51 * 47


def test_each_level_raises_its_own_axis_alone() -> None:
    for axis, top in enumerate(LEVELS):
        tasks = [from_levels([level if d == axis else 0 for d in range(3)]).task for level in range(top + 1)]
        assert all(b[axis] > a[axis] for a, b in itertools.pairwise(tasks))
        assert all(task[d] == 0 for task in tasks for d in range(3) if d != axis)


@pytest.mark.parametrize(
    ("level", "quality"), [(0.0, None), (1 / 92, None), (2 / 92, 100), (0.5, 56), (1.0, 10), (0.02, 100)]
)
def test_a_task_vector_between_the_levels_takes_the_nearest_quality(level: float, quality: int | None) -> None:
    assert from_task((0, 0, level)).quality == quality


def test_the_evaluation_grid() -> None:
    grid = evaluation_grid()
    assert len(set(grid)) == 27
    assert grid[0] == Degradation()
    assert {d.blur for d in grid} == {0, 2, 4}
    assert {d.noise for d in grid} == {0, 25, 50}
    assert {d.quality for d in grid} == {None, 60, 10}
    assert len({d.name for d in grid}) == 27
    assert Degradation(2.0, 25.0, 60).name == "blur2_noise25_q60"
    assert grid[0].name == "blur0_noise0_qnone"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((-0.1, 0, None), "blur"),
        ((4.1, 0, None), "blur"),
        ((math.nan, 0, None), "blur"),
        ((0, -1, None), "noise"),
        ((0, 50.5, None), "noise"),
        ((0, math.inf, None), "noise"),
        ((0, 0, 9), "quality"),
        ((0, 0, 101), "quality"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(values: tuple[float, float, int | None], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Degradation(*values)


@pytest.mark.parametrize("task", [(0, 0), (0, 0, 0, 0), (0, -0.01, 0), (1.01, 0, 0), (0, math.nan, 0)])
def test_a_bad_task_vector_is_refused(task: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three numbers"):
        from_task(task)


@pytest.mark.parametrize("levels", [(41, 0, 0), (0, 51, 0), (0, 0, 47), (-1, 0, 0), (0, 0, -1)])
def test_a_level_off_the_grid_is_refused(levels: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        from_levels(levels)
