"""Evaluation: crops, the fixed degraded sets, oracle PSNR and the response of a slider, on restorers made by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from tatsnet.data.degradation import Image, degrade, evaluation_grid
from tatsnet.quality.evaluation import (
    EvalPhoto,
    crop_windows,
    degraded_grid,
    input_psnr,
    make_eval_photos,
    oracle_outputs,
    oracle_psnr,
    restore_all,
    to_batch,
    to_images,
)
from tatsnet.quality.metrics import psnr

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clean() -> Image:
    return np.ascontiguousarray(skimage.data.astronaut()[20:70, 180:250])


@pytest.fixture(scope="module")
def photos(clean: Image) -> list[EvalPhoto]:
    return make_eval_photos("astronaut", clean, 24, 2, seed=4)


def identity(image: Tensor, task: Tensor) -> Tensor:
    return image


@pytest.mark.parametrize(
    ("height", "width", "crop", "count", "expected"),
    [
        (10, 10, 10, 1, [(0, 0)]),
        (10, 40, 10, 2, [(0, 5), (0, 25)]),
        (40, 10, 10, 2, [(5, 0), (25, 0)]),
        (20, 60, 10, 3, [(5, 5), (5, 25), (5, 45)]),
        (10, 12, 10, 3, [(0, 0), (0, 1), (0, 2)]),
    ],
)
def test_crop_windows_by_hand(height: int, width: int, crop: int, count: int, expected: list[tuple[int, int]]) -> None:
    assert crop_windows(height, width, crop, count) == expected


@pytest.mark.parametrize("size", [(321, 481), (481, 321), (100, 97), (96, 96), (1000, 96)])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_crops_lie_inside_evenly_spread_and_in_the_middle(size: tuple[int, int], count: int) -> None:
    windows = crop_windows(*size, 96, count)
    assert len(windows) == count
    axis = int(size[1] >= size[0])
    starts = [window[axis] for window in windows]
    assert all(0 <= window[d] <= size[d] - 96 for window in windows for d in range(2))
    assert {window[1 - axis] for window in windows} == {(min(size) - 96) // 2}
    assert abs(starts[0] - (size[axis] - 96 - starts[-1])) <= 1
    if max(size) >= 96 * count:
        gaps = [b - a for a, b in pairwise(starts)]
        assert all(gap >= 96 for gap in gaps)
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_crop_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="crop of 97 pixels does not fit into a photo of 200x96"):
        crop_windows(96, 200, 97, 1)


def test_the_evaluation_degradations_are_the_grid_without_its_start() -> None:
    assert len(degraded_grid()) == 26
    assert degraded_grid() == evaluation_grid()[1:]


def test_evaluation_crops_are_cut_after_the_whole_photo_is_degraded(clean: Image, photos: list[EvalPhoto]) -> None:
    windows = crop_windows(50, 70, 24, 2)
    assert [p.name for p in photos] == ["astronaut-0", "astronaut-1"]
    for index, degradation in enumerate(degraded_grid()):
        whole = degrade(clean, degradation, np.random.default_rng([4, index]))
        for photo, (top, left) in zip(photos, windows, strict=True):
            assert np.array_equal(photo.degraded[index], whole[top : top + 24, left : left + 24])
            assert np.array_equal(photo.clean, clean[top : top + 24, left : left + 24])


def test_evaluation_photos_are_a_function_of_the_seed(clean: Image, photos: list[EvalPhoto]) -> None:
    again, other = (make_eval_photos("astronaut", clean, 24, 2, seed=seed) for seed in (4, 5))
    noisy = degraded_grid().index(evaluation_grid()[3])
    assert all(np.array_equal(a, b) for a, b in zip(again[0].degraded, photos[0].degraded, strict=True))
    assert not np.array_equal(other[0].degraded[noisy], photos[0].degraded[noisy])


def test_each_degradation_has_noise_of_its_own(clean: Image) -> None:
    grey = np.full_like(clean, 128)
    (photo,) = make_eval_photos("grey", grey, 0, 0, seed=1)
    fields = [photo.degraded[i] for i, d in enumerate(degraded_grid()) if d.noise == 25 and d.quality is None]
    assert len(fields) == 3
    for a, b in pairwise(fields):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.05


def test_crop_0_keeps_the_photo_whole(clean: Image) -> None:
    (photo,) = make_eval_photos("astronaut", clean, 0, 5, seed=4)
    assert photo.name == "astronaut"
    assert photo.clean is clean
    assert all(version.shape == clean.shape for version in photo.degraded)


def test_images_and_batches_there_and_back(clean: Image) -> None:
    batch = to_batch([clean, clean[:, ::-1]], CPU)
    assert batch.shape == (2, 3, 50, 70)
    assert batch.max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(to_images(batch), (clean, clean[:, ::-1]), strict=True))


def test_outputs_are_clamped_and_rounded() -> None:
    values = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.5, 0.5]).view(1, 3, 1, 2)
    assert to_images(values)[0].transpose(2, 0, 1).ravel().tolist() == [0, 0, 1, 255, 255, 128]


def test_each_image_meets_its_own_task(clean: Image) -> None:
    def tint(image: Tensor, task: Tensor) -> Tensor:
        return torch.zeros_like(image) + task[..., None, None]

    made = restore_all(tint, [clean, clean], [(0.2, 0.4, 0.6), (1.0, 0.0, 0.8)], CPU)
    assert [image[0, 0].tolist() for image in made] == [[51, 102, 153], [255, 0, 204]]


def test_identity_scores_what_the_input_scores(photos: list[EvalPhoto]) -> None:
    by_hand = np.mean([psnr(image, photo.clean) for photo in photos for image in photo.degraded])
    assert input_psnr(photos) == pytest.approx(by_hand, abs=1e-12)
    assert oracle_psnr(identity, photos, CPU) == pytest.approx(input_psnr(photos), abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 26, 100])
def test_the_oracle_gives_each_version_its_own_task_vector(photos: list[EvalPhoto], chunk: int) -> None:
    """Encoded in the output's colours: levels 0, 1/2 and 1 are 0, 128 and 255."""

    def tell(image: Tensor, task: Tensor) -> Tensor:
        return torch.zeros_like(image) + task[..., None, None]

    seen = list(oracle_outputs(tell, photos, CPU, chunk))
    assert [photo.name for photo, _ in seen] == [photo.name for photo in photos]
    expected = [[round(255 * level) for level in d.task] for d in degraded_grid()]
    for _, outputs in seen:
        told = [image[0, 0].tolist() for image in outputs]
        assert np.abs(np.array(told) - expected).max() <= 1  # 127.5 rounds either way


def test_a_better_restorer_scores_higher(photos: list[EvalPhoto]) -> None:
    originals = iter([photo.clean for photo in photos])

    def towards_clean(image: Tensor, task: Tensor) -> Tensor:
        return (image + to_batch([next(originals)], CPU)) / 2

    assert oracle_psnr(towards_clean, photos, CPU) > input_psnr(photos) + 5
