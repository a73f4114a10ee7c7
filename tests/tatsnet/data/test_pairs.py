"""Training pairs: where they come from, what the task vector says of them, and that item i is always item i."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import skimage.data
import torch

from tatsnet.data.degradation import Image, blur, corrupt, from_task
from tatsnet.data.pairs import Batch, PairSampler, PhotoPack, batches
from tatsnet.network.tasks import LEVELS

PATCH = 8


def grey(height: int = 64, width: int = 64, value: int = 128) -> Image:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture(scope="module")
def photo() -> Image:
    return np.ascontiguousarray(skimage.data.astronaut()[20:60, 190:238])


def sampler_of(
    *photos: Image, patch: int = PATCH, batch: int = 12, relative: bool = False, seed: int = 5
) -> PairSampler:
    return PairSampler(PhotoPack.of(photos), patch=patch, batch=batch, relative=relative, seed=seed)


def equal(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def to_bytes(image_CHW: torch.Tensor) -> Image:
    return (image_CHW.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)


class Origin(NamedTuple):
    """Where a target was cut, and how it was turned afterwards."""

    top: int
    left: int
    colours: tuple[int, ...]
    mirror: bool
    turns: int

    def turned(self, patch: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.rot90(patch[:, ::-1] if self.mirror else patch, self.turns)


def origins(photo: Image, targets: list[Image]) -> list[Origin]:
    """Finds each clean target among all crops of the photo, turned, mirrored and with colours shuffled."""
    height, width, _ = photo.shape
    places = itertools.product(range(height - PATCH + 1), range(width - PATCH + 1))
    known = {photo[y : y + PATCH, x : x + PATCH].tobytes(): (y, x) for y, x in places}
    moves = list(itertools.product(itertools.permutations(range(3)), (False, True), range(4)))
    found = []
    for target in targets:
        for colours, mirror, turns in moves:
            back = np.rot90(target, -turns)
            back = (back[:, ::-1] if mirror else back)[..., np.argsort(colours)]
            if back.tobytes() in known:
                found.append(Origin(*known[back.tobytes()], colours, mirror, turns))
                break
        else:
            pytest.fail("a target that is no crop of the photo")
    return found


def test_a_pack_gives_every_photo_back(photo: Image) -> None:
    photos = [photo, grey(3, 5, 7), photo[:9, :11].copy()]
    pack = PhotoPack.of(photos)
    assert pack.pixels.size == sum(p.size for p in photos)
    for index, original in enumerate(photos):
        assert np.array_equal(pack.photo(index), original)
        assert np.shares_memory(pack.photo(index), pack.pixels)


def test_an_empty_pack_is_refused() -> None:
    with pytest.raises(ValueError, match="no training photos"):
        PhotoPack.of([])


@pytest.mark.parametrize("size", [(PATCH - 1, 64), (64, PATCH - 1)])
def test_a_photo_smaller_than_the_patch_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"patch {PATCH} is larger than the smallest training photo"):
        sampler_of(grey(), grey(*size))


def test_a_photo_of_the_patchs_size_is_enough() -> None:
    assert sampler_of(grey(PATCH, PATCH))[0].input_BCHW.shape == (12, 3, PATCH, PATCH)


def test_an_item_is_a_pure_function_of_seed_and_number(photo: Image) -> None:
    ours, again, other_seed = sampler_of(photo), sampler_of(photo), sampler_of(photo, seed=6)
    forward = [ours[i] for i in range(4)]
    backward = [again[i] for i in reversed(range(4))][::-1]
    assert all(equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not any(equal(a, b) for a, b in itertools.combinations(forward, 2))
    assert not equal(forward[0], other_seed[0])


def test_shapes_and_ranges(photo: Image) -> None:
    batch = sampler_of(photo, relative=True)[3]
    assert batch.input_BCHW.shape == batch.target_BCHW.shape == (12, 3, PATCH, PATCH)
    assert batch.task_BD.shape == (12, 3)
    for part in batch:
        assert part.dtype == torch.float32
        assert part.min() >= 0
        assert part.max() <= 1
    steps = batch.task_BD * torch.tensor(LEVELS)
    assert torch.allclose(steps, steps.round(), atol=1e-5)


def test_inputs_are_the_degraded_crops_of_the_degraded_photo(photo: Image) -> None:
    """A patch is blurred with its surroundings: it equals the crop of the whole photo, blurred, at the border too."""
    sampler = sampler_of(photo, batch=60)
    rows = [
        (to_bytes(given), to_bytes(target), tuple(task.tolist()))
        for i in range(2)
        for given, target, task in zip(*sampler[i], strict=True)
        if task[1] == 0
    ]
    assert len(rows) > 30
    assert sum(task[0] > 0 for *_, task in rows) > 10
    assert sum(task[2] > 0 for *_, task in rows) > 10
    found = origins(photo, [target for _, target, _ in rows])
    for (given, _, task), origin in zip(rows, found, strict=True):
        degradation = from_task([min(level, 1.0) for level in task])
        whole = blur(photo.astype(np.float32), degradation.blur)
        crop = whole[origin.top : origin.top + PATCH, origin.left : origin.left + PATCH][..., list(origin.colours)]
        turned = origin.turned(crop)
        expected = corrupt(turned, degradation, np.zeros_like(turned))
        # Two float32 blurs differ by 1e-5 of a step, so that one value in thousands may round the other way.
        apart = np.abs(given.astype(int) - expected.astype(int))
        assert apart.max() <= (1 if task[2] == 0 else 8), task
        assert (apart > 0).mean() < 0.02, task
    assert len(set(found)) > 25


def test_crops_reach_every_corner_and_every_turn() -> None:
    small = np.arange(9 * 10 * 3, dtype=np.int64).reshape(9, 10, 3).astype(np.uint8)
    sampler = sampler_of(small, batch=90)
    found = origins(small, [to_bytes(t) for i in range(8) for t in sampler[i].target_BCHW])
    assert {(o.top, o.left) for o in found} == set(itertools.product(range(2), range(3)))
    assert {(o.mirror, o.turns) for o in found} == set(itertools.product((False, True), range(4)))


def test_photos_are_drawn_by_their_area() -> None:
    sampler = sampler_of(grey(16, 16, 50), grey(16, 48, 200), batch=120)
    values = torch.cat([sampler[i].target_BCHW[:, 0, 0, 0] for i in range(5)])
    assert scipy.stats.binomtest(int((values > 0.5).sum()), len(values), 0.75).pvalue > 1e-3


@pytest.mark.parametrize("relative", [False, True])
def test_noise_difference_is_the_task_vector_and_the_field_is_shared(relative: bool) -> None:
    """On mid-grey the deviation of input and target measures their levels, whose difference is eq. 13."""
    batch = sampler_of(grey(), patch=32, batch=400, relative=relative)[0]
    both, checked, agreed = 0, 0, 0
    for given, target, task in zip(*batch, strict=True):
        deviation = [float((x * 255).std()) for x in (given, target)]
        if task[1] == 0 or task[2] > 0 or deviation[0] > 40:  # near full noise both are clipped
            continue
        assert relative or deviation[1] == 0
        wanted = 50 * float(task[1])
        apart = abs(deviation[0] - deviation[1] - wanted)
        agreed += apart < 0.06 * deviation[0] + 0.3
        checked += 1
        if min(deviation) > 5 and apart < 1:
            pair = torch.stack([given.flatten(), target.flatten()])
            assert torch.corrcoef(pair)[0, 1] > 0.9  # independent fields would give 0
            both += 1
    assert checked >= 40
    assert agreed >= (0.5 if relative else 1.0) * checked  # a relative pair may be equally compressed
    assert both >= 4 or not relative


def test_equal_levels_give_equal_images(photo: Image) -> None:
    sampler = sampler_of(photo, batch=120, relative=True)
    same = degraded = 0
    for given, target, task in zip(*sampler[0], strict=True):
        if not task.any():
            assert torch.equal(given, target)
            same += 1
        else:
            degraded += not torch.equal(given, target)
    assert same >= 10
    assert degraded >= 60


def test_absolute_targets_are_clean() -> None:
    for i in range(3):
        assert torch.unique(sampler_of(grey())[i].target_BCHW * 255).tolist() == [128]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_samplers_items_whoever_makes_them(photo: Image, workers: int) -> None:
    sampler = sampler_of(photo, relative=True)
    made = list(batches(sampler, 3, 8, workers))
    assert len(made) == 5
    assert all(isinstance(batch, Batch) for batch in made)
    assert all(equal(batch, sampler[i]) for batch, i in zip(made, range(3, 8), strict=True))


def test_a_batch_on_a_device_is_channels_last_and_equal(photo: Image) -> None:
    batch = sampler_of(photo)[0]
    moved = batch.to(torch.device("cpu"))
    assert equal(batch, moved)
    assert moved.input_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert moved.target_BCHW.is_contiguous(memory_format=torch.channels_last)
