"""Training pairs: photos packed in one array, degraded on the fly, a pure function of (seed, iteration).

Shapes: B batch, C colours, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tatsnet.data.degradation import BLUR_RADIUS, Image, blur, corrupt, from_levels, noise_field
from tatsnet.network.tasks import LEVELS

Levels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PhotoPack:
    """Photos in one flat array, so that one copy per node serves every worker.

    Attributes:
        pixels: uint8, all photos' RGB pixels one after the other.
        shapes: int64, photos x 2: height and width.
    """

    pixels: npt.NDArray[np.uint8]
    shapes: npt.NDArray[np.int64]

    @staticmethod
    def of(photos: Sequence[Image]) -> PhotoPack:
        """Pack photos of shape H x W x 3.

        Raises:
            ValueError: there is none.
        """
        if not photos:
            raise ValueError("no training photos: there is nothing to pack")
        shapes = np.array([photo.shape[:2] for photo in photos], np.int64)
        return PhotoPack(np.concatenate([photo.reshape(-1) for photo in photos]), shapes)

    def photo(self, index: int) -> Image:
        """A view of one photo, H x W x 3."""
        sizes = 3 * self.shapes.prod(axis=1)
        start = int(sizes[:index].sum())
        height, width = self.shapes[index]
        return self.pixels[start : start + int(sizes[index])].reshape(height, width, 3)


class Batch(NamedTuple):
    """Input and target (B x 3 x H x W in [0, 1]) and the task vector between them (B x 3, eq. 13)."""

    input_BCHW: Tensor
    target_BCHW: Tensor
    task_BD: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, images channels-last."""
        images = [x.to(device, memory_format=torch.channels_last, non_blocking=True) for x in self[:2]]
        return Batch(images[0], images[1], self.task_BD.to(device, non_blocking=True))


def sample_levels(slot: int, relative: bool, rng: np.random.Generator) -> tuple[Levels, Levels]:
    """Degradation levels of an input and of its ground truth (section 3.3).

    The three distributions take turns by `slot`: uniform on a single type, binary on all types, uniform on all types.
    A relative ground truth lies between clean and the input: uniform, or binary in the binary distribution.
    """
    top = np.array(LEVELS, np.int64)
    match slot % 3:
        case 0:
            chosen = np.arange(3) == rng.integers(3)
            levels = np.where(chosen, rng.integers(0, top + 1), 0)
        case 1:
            levels = top * rng.integers(0, 2, 3)
        case _:
            levels = rng.integers(0, top + 1)
    if not relative:
        return levels, np.zeros_like(levels)
    return levels, levels * rng.integers(0, 2, 3) if slot % 3 == 1 else rng.integers(0, levels + 1)


def _blurred_patch(photo: Image, top: int, left: int, patch: int, width: float) -> npt.NDArray[np.float32]:
    """A patch of the blurred photo: blurred with its surroundings, as the whole photo would be."""
    y, x = max(top - BLUR_RADIUS, 0), max(left - BLUR_RADIUS, 0)
    around = photo[y : top + patch + BLUR_RADIUS, x : left + patch + BLUR_RADIUS].astype(np.float32)
    return blur(around, width)[top - y : top - y + patch, left - x : left - x + patch]


class PairSampler(Dataset[Batch]):
    """Batches of training pairs; item i is always the same batch, whoever asks and in whatever order.

    A patch is mirrored, turned and has its colour channels shuffled, so that a few photos teach more than their own
    colours (on the sample photos this was worth 1.5 dB).

    Args:
        pack: the clean photos, each at least patch x patch.
        patch: side of a patch, pixels.
        batch: pairs per batch.
        relative: relative ground truth (Figure 4b) in place of the clean photo.
        seed: of the batches.

    Raises:
        ValueError: a photo smaller than the patch.
    """

    def __init__(self, pack: PhotoPack, *, patch: int, batch: int, relative: bool, seed: int) -> None:
        if (small := int(pack.shapes.min())) < patch:
            raise ValueError(f"patch {patch} is larger than the smallest training photo ({small} pixels on a side)")
        self.pack, self.patch, self.batch, self.relative, self.seed = pack, patch, batch, relative, seed
        area = pack.shapes.prod(axis=1).astype(np.float64)
        self._odds = area / area.sum()
        self._photos = [pack.photo(index) for index in range(len(pack.shapes))]

    def __getitem__(self, iteration: int) -> Batch:
        rng = np.random.default_rng([self.seed, iteration])
        pairs = [self._pair(slot + iteration, rng) for slot in range(self.batch)]
        inputs, targets, tasks = (np.stack(part) for part in zip(*pairs, strict=True))
        return Batch(_to_tensor(inputs), _to_tensor(targets), torch.from_numpy(tasks))

    def _pair(self, slot: int, rng: np.random.Generator) -> tuple[Image, Image, npt.NDArray[np.float32]]:
        photo = self._photos[rng.choice(len(self._photos), p=self._odds)]
        colours = rng.permutation(3)
        top, left = rng.integers(0, np.array(photo.shape[:2]) - self.patch + 1)
        worse, better = sample_levels(slot, self.relative, rng)
        noise = noise_field((self.patch, self.patch, 3), rng)
        made = []
        for levels in (worse, better):
            degradation = from_levels(levels)
            blurred = _blurred_patch(photo, int(top), int(left), self.patch, degradation.blur)
            made.append(corrupt(blurred[..., colours], degradation, noise))
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        images = [np.rot90(image[:, ::-1] if mirror else image, turns) for image in made]
        return images[0], images[1], ((worse - better) / np.array(LEVELS)).astype(np.float32)


def _to_tensor(images_BHWC: Image) -> Tensor:
    return torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).float().div_(255)


def batches(sampler: PairSampler, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """Batches start .. stop - 1, made ahead by `workers` processes (0: here)."""
    loader = DataLoader(sampler, batch_size=None, sampler=range(start, stop), num_workers=workers)
    return iter(loader)
