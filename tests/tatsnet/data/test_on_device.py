"""Pairs made as tensor operations: the laws of `PairSampler`'s, and the same distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from tatsnet.data.degradation import Image, blur
from tatsnet.data.on_device import DeviceBatches, DevicePairs
from tatsnet.data.pairs import PairSampler, PhotoPack

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pack() -> PhotoPack:
    astronaut, coffee = data.astronaut(), data.coffee()
    return PhotoPack.of([np.ascontiguousarray(astronaut[:200, :160]), np.ascontiguousarray(coffee[100:260, :240])])


def pairs_of(pack: PhotoPack, relative: bool = False, batch: int = 32, patch: int = 32, seed: int = 0) -> DevicePairs:
    return DevicePairs(pack, patch=patch, batch=batch, relative=relative, sampling="mixed", seed=seed, device=CPU)


def test_item_i_is_always_the_same_batch(pack: PhotoPack) -> None:
    first, second = pairs_of(pack), pairs_of(pack)
    first[7]
    assert all(torch.equal(a, b) for a, b in zip(first[3], second[3], strict=True))
    assert not torch.equal(first[3].input_BCHW, first[4].input_BCHW)
    assert not torch.equal(first[3].input_BCHW, pairs_of(pack, seed=1)[3].input_BCHW)
    stream = list(DeviceBatches(first, 2, 5))
    assert len(stream) == 3
    assert torch.equal(stream[1].input_BCHW, second[3].input_BCHW)


def test_an_absolute_target_is_a_patch_of_a_photo_turned_or_mirrored() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    known = {
        np.ascontiguousarray(turned).tobytes()
        for top in range(photo.shape[0] - 15)
        for left in range(photo.shape[1] - 15)
        for patch in (photo[top : top + 16, left : left + 16].sum(-1),)
        for turned in (np.rot90(side, k) for side in (patch, patch[:, ::-1]) for k in range(4))
    }
    pairs = pairs_of(PhotoPack.of([photo]), batch=64, patch=16)
    sums = (pairs[0].target_BCHW * 255).round().long().sum(1).numpy()
    assert all(np.ascontiguousarray(patch).tobytes() in known for patch in sums)
    assert len({patch.tobytes() for patch in sums}) > 55


def test_every_orientation_and_every_order_of_colours_comes_up() -> None:
    photo = np.zeros((16, 16, 3), np.uint8)
    photo[0, 0], photo[0, 15] = (10, 20, 30), (60, 60, 60)
    target = (pairs_of(PhotoPack.of([photo]), batch=512, patch=16)[0].target_BCHW * 255).round().long()
    corners = target[:, :, [0, 0, 15, 15], [0, 15, 0, 15]]
    assert len({tuple(corner.sum(0).tolist()) for corner in corners}) == 8
    colours = {tuple(c.tolist()) for corner in corners for c in corner.T if c.sum() == 60}
    assert len(colours) == 6


def test_blur_is_the_degradations(pack: PhotoPack) -> None:
    photo: Image = pack.photo(0)
    window = torch.from_numpy(photo[20:72, 30:82].copy()).permute(2, 0, 1)[None].float()
    pairs = pairs_of(pack)
    for width in (0.0, 0.1, 0.7, 2.0, 4.0):
        made = pairs._blur(window, torch.tensor([width]))[0].permute(1, 2, 0).numpy()
        whole = blur(photo.astype(np.float32), width)[30:62, 40:72]
        assert np.abs(made - whole).max() < 2e-3


@pytest.mark.parametrize("relative", [False, True])
def test_inputs_are_as_far_from_targets_as_the_codecs(pack: PhotoPack, relative: bool) -> None:
    """By the tasks that both draw, level by level: the root mean square error of a batch, within its chance."""
    ours = pairs_of(pack, relative, batch=256)[0]
    theirs = PairSampler(pack, patch=32, batch=256, relative=relative, seed=0)[0]
    for axis in range(3):
        errors = []
        for batch in (ours, theirs):
            strong = batch.task_BD[:, axis] > 0.6
            errors.append(float(((batch.input_BCHW - batch.target_BCHW)[strong] ** 2).mean().sqrt()))
        assert errors[0] == pytest.approx(errors[1], rel=0.2)


def test_values_are_8_bit_steps_and_channels_last(pack: PhotoPack) -> None:
    batch = pairs_of(pack, relative=True)[0]
    for image in batch[:2]:
        assert image.shape == (32, 3, 32, 32)
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert float((image * 255 - (image * 255).round()).abs().max()) < 1e-4
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
    same = (batch.task_BD == 0).all(1)
    assert torch.equal(batch.input_BCHW[same], batch.target_BCHW[same])


def test_faults_are_refused(pack: PhotoPack) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        pairs_of(pack, patch=40)
    with pytest.raises(ValueError, match="larger than the smallest training photo"):
        pairs_of(pack, patch=176)
