"""JPEG as tensor operations, beside the codec that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from tatsnet.data.degradation import Image, jpeg
from tatsnet.data.jpeg import Jpeg


@pytest.fixture(scope="module")
def photo() -> Image:
    return np.ascontiguousarray(data.astronaut()[64:320, 96:352])


def round_trip(photo: Image, qualities: list[int]) -> list[np.ndarray]:
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float().expand(len(qualities), -1, -1, -1)
    return list(Jpeg()(image, torch.tensor(qualities)).permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("quality", [10, 30, 49, 50, 60, 90, 100])
def test_it_loses_what_the_codec_loses(photo: Image, quality: int) -> None:
    """Differences are of coefficients that lie between two levels: in the mean below one step of 255."""
    (made,), codec = round_trip(photo, [quality]), jpeg(photo, quality).astype(float)
    loss = np.sqrt(np.mean((made - photo) ** 2)), np.sqrt(np.mean((codec - photo) ** 2))
    assert loss[0] == pytest.approx(loss[1], rel=0.03)
    assert np.abs(made - codec).mean() < min(1.0, loss[1])


def test_each_image_of_a_batch_has_its_own_quality(photo: Image) -> None:
    together = round_trip(photo, [10, 60, 95])
    alone = [round_trip(photo, [quality])[0] for quality in (10, 60, 95)]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    loss = [np.abs(image - photo).mean() for image in together]
    assert loss[0] > loss[1] > loss[2]


def test_a_uniform_grey_stays(photo: Image) -> None:
    grey = np.full((32, 48, 3), 128, np.uint8)
    assert all(np.array_equal(image, grey) for image in round_trip(grey, [10, 90]))


def test_values_are_whole_and_in_range(photo: Image) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (image,) = round_trip(noise, [10])
    assert np.array_equal(image, np.clip(np.rint(image), 0, 255))
