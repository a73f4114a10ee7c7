"""NIQE: its parts against independent computations, the whole against scikit-video's parts and the laws."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from PIL import Image

from tatsnet.quality.niqe import LEAST_SIDE, PristineModel, fit_aggd, halve, load_pristine, mscn, niqe

Bytes = npt.NDArray[np.uint8]
PHOTOS = ("astronaut", "coffee", "chelsea")


@pytest.fixture(scope="module")
def model() -> PristineModel:
    return load_pristine()


def photo(name: str) -> Bytes:
    return np.ascontiguousarray(getattr(skimage.data, name)()[..., :3])


def scikit_video(part: str) -> ModuleType:
    """One of its modules by path: the package as a whole does not import on numpy 2."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    one = importlib.util.spec_from_file_location(f"skvideo_{part}", Path(spec.origin).parent / "utils" / f"{part}.py")
    assert one is not None
    assert one.loader is not None
    module = importlib.util.module_from_spec(one)
    one.loader.exec_module(module)
    return module


def sample_aggd(shape: float, left: float, right: float, count: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(3)
    size = rng.gamma(1 / shape, size=count) ** (1 / shape)
    is_left = rng.random(count) < left / (left + right)
    return np.where(is_left, -left * size, right * size)


@pytest.mark.parametrize(("shape", "left", "right"), [(0.6, 1, 1), (1, 0.5, 1.5), (2, 1, 1), (2, 2, 0.7), (4, 1, 1.2)])
def test_the_fit_recovers_what_was_drawn(shape: float, left: float, right: float) -> None:
    fit = fit_aggd(sample_aggd(shape, left, right, 200_000))
    assert fit.shape == pytest.approx(shape, rel=0.03)
    assert [fit.left, fit.right] == pytest.approx([left, right], rel=0.05)


def test_the_fits_mean_is_the_samples_mean() -> None:
    values = sample_aggd(1.3, 0.5, 1.5, 200_000)
    assert fit_aggd(values).mean == pytest.approx(values.mean(), rel=0.03)


def test_mscn_at_a_pixel_by_hand() -> None:
    luma = np.random.default_rng(0).uniform(0, 255, (9, 11))
    line = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    for row, column in ((4, 5), (0, 0), (8, 2)):
        around = np.pad(luma, 3, mode="edge")[row : row + 7, column : column + 7]
        mean = (window * around).sum()
        deviation = np.sqrt((window * (around - mean) ** 2).sum())
        assert mscn(luma)[row, column] == pytest.approx((luma[row, column] - mean) / (deviation + 1))


def test_halving_agrees_with_pillow_inside_and_keeps_a_constant() -> None:
    luma = np.random.default_rng(1).uniform(0, 255, (40, 60))
    other = np.asarray(Image.fromarray(luma.astype(np.float32)).resize((30, 20), Image.Resampling.BICUBIC))
    assert halve(luma).shape == (20, 30)
    np.testing.assert_allclose(halve(luma)[2:-2, 2:-2], other[2:-2, 2:-2], atol=1e-3)
    np.testing.assert_allclose(halve(np.full((8, 6), 77.0)), 77)


@pytest.mark.parametrize("name", ["coffee", "chelsea"])  # astronaut has zeros, which scikit-video counts as positive
def test_the_score_agrees_with_scikit_videos_parts(name: str, model: PristineModel) -> None:
    stats, normalise = scikit_video("stats"), scikit_video("mscn").compute_image_mscn_transform
    image = photo(name)
    rows, columns = image.shape[0] // 96, image.shape[1] // 96
    luma = np.rint(image @ [0.2989, 0.587, 0.114])[: rows * 96, : columns * 96].astype(np.float32)
    half = np.asarray(Image.fromarray(luma).resize((columns * 48, rows * 48), Image.Resampling.BICUBIC))

    def features(patch: npt.NDArray[np.float32]) -> list[float]:
        shape, _, left, right, _, _ = stats.aggd_features(patch.copy())
        products = [stats.aggd_features(product)[:4] for product in stats.paired_product(patch)]
        return [shape, (left + right) / 2, *np.ravel(products)]

    fine, coarse = (normalise(scale, extend_mode="nearest")[0] for scale in (luma, half))
    table = [
        features(fine[row * 96 : row * 96 + 96, column * 96 : column * 96 + 96])
        + features(coarse[row * 48 : row * 48 + 48, column * 48 : column * 48 + 48])
        for row in range(rows)
        for column in range(columns)
    ]
    off = np.mean(table, axis=0) - model.mean_36
    expected = np.sqrt(off @ np.linalg.inv((np.cov(np.transpose(table)) + model.cov_36x36) / 2) @ off)
    assert niqe(image, model) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("name", PHOTOS)
def test_blur_and_noise_worsen_it(name: str, model: PristineModel) -> None:
    image = photo(name)
    rng = np.random.default_rng(0)
    blurred = [cv2.GaussianBlur(image, (21, 21), sigma).astype(np.uint8) for sigma in (1, 2, 4)]
    noisy = [
        np.clip(np.rint(image + rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8) for sigma in (10, 25, 50)
    ]
    for worse in (blurred, noisy):
        scores = [niqe(each, model) for each in (image, *worse)]
        assert all(after > before + 0.5 for before, after in pairwise(scores)), scores


def test_what_exceeds_whole_patches_is_left_out(model: PristineModel) -> None:
    image = photo("coffee")
    assert niqe(image[:287, :383], model) == niqe(image[:192, :288], model)


def test_flat_patches_do_not_count_and_a_flat_image_is_refused(model: PristineModel) -> None:
    image = photo("coffee")[:384, :288].copy()
    with_flat = np.concatenate([image, np.full((288, 288, 3), 255, np.uint8)])
    assert np.isfinite(niqe(with_flat, model))
    with pytest.raises(ValueError, match="flat"):
        niqe(np.full((192, 192, 3), 90, np.uint8), model)


@pytest.mark.parametrize("size", [(191, 400), (400, 191), (1, 1)])
def test_a_small_image_is_told_the_least_size(size: tuple[int, int], model: PristineModel) -> None:
    with pytest.raises(ValueError, match=f"at least {LEAST_SIDE}x{LEAST_SIDE} pixels, got {size[1]}x{size[0]}"):
        niqe(np.zeros((*size, 3), np.uint8), model)


def test_other_arrays_are_refused(model: PristineModel) -> None:
    for image in (np.zeros((200, 200, 3)), np.zeros((200, 200), np.uint8), np.zeros((200, 200, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8, height x width x 3"):
            niqe(image, model)


def test_the_model_is_the_authors(model: PristineModel) -> None:
    assert model.mean_36[:2] == pytest.approx([2.6013, 0.9057], abs=1e-4)
    assert np.linalg.eigvalsh(model.cov_36x36).min() > 0
    assert np.array_equal(model.cov_36x36, model.cov_36x36.T)


def test_a_photo_scores_as_publications_say_photos_do(model: PristineModel) -> None:
    assert 2 < min(niqe(photo(name), model) for name in PHOTOS)
    assert max(niqe(photo(name), model) for name in PHOTOS) < 6
