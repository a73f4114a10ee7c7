"""Training pairs: photos packed in one array, degraded on the fly, a pure function of (seed, iteration).

Shapes: B batch, C colours, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tatsnet.data.degradation import BLUR_RADIUS, Image, blur, corrupt, from_levels, noise_field
from tatsnet.data.levels import Sampling, draw_levels, task_between


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
        height, width = self.shapes[index]
        stop = 3 * int(self.until[index])
        return self.pixels[stop - 3 * height * width : stop].reshape(height, width, 3)

    @cached_property
    def until(self) -> npt.NDArray[np.int64]:
        """How many pixels there are up to the end of each photo."""
        until: npt.NDArray[np.int64] = self.shapes.prod(axis=1).cumsum()
        return until

    def require(self, patch: int) -> None:
        """Raise ValueError if a photo is smaller than the patch."""
        if (small := int(self.shapes.min())) < patch:
            raise ValueError(f"patch {patch} is larger than the smallest training photo ({small} pixels on a side)")


class Batch(NamedTuple):
    """Input and target (B x 3 x H x W in [0, 1]) and the task vector between them (B x 3, eq. 13)."""

    input_BCHW: Tensor
    target_BCHW: Tensor
    task_BD: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, images channels-last."""
        images = [x.to(device, memory_format=torch.channels_last, non_blocking=True) for x in self[:2]]
        return Batch(images[0], images[1], self.task_BD.to(device, non_blocking=True))


class PairSampler(Dataset[Batch]):
    """Batches of training pairs; item i is the same batch in every process and in any order.

    A patch is mirrored, turned and has its colour channels shuffled, so that a few photos teach more than their own
    colours (on the sample photos this was worth 1.5 dB).

    Args:
        pack: the clean photos, each at least patch x patch.
        patch: side of a patch, pixels.
        batch: pairs per batch.
        relative: relative ground truth (Figure 4b) in place of the clean photo.
        sampling: how degradations are drawn.
        seed: of the batches.

    Raises:
        ValueError: a photo smaller than the patch.
    """

    def __init__(
        self, pack: PhotoPack, *, patch: int, batch: int, relative: bool, sampling: Sampling = "mixed", seed: int
    ) -> None:
        pack.require(patch)
        self.pack, self.patch, self.batch, self.relative, self.seed = pack, patch, batch, relative, seed
        self.sampling: Sampling = sampling

    def __getitem__(self, iteration: int) -> Batch:
        sequence = np.random.SeedSequence([self.seed, iteration])
        rng = np.random.default_rng(sequence)
        generator = torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        worse, better = draw_levels(self.batch, relative=self.relative, sampling=self.sampling, generator=generator)
        pairs = [self._pair(*levels, rng) for levels in zip(worse.tolist(), better.tolist(), strict=True)]
        inputs, targets = (np.stack(part) for part in zip(*pairs, strict=True))
        return Batch(_to_tensor(inputs), _to_tensor(targets), task_between(worse, better))

    def _pair(self, worse: list[int], better: list[int], rng: np.random.Generator) -> tuple[Image, Image]:
        window = self._window(rng).astype(np.float32)
        noise = noise_field((self.patch, self.patch, 3), rng)
        inner = slice(BLUR_RADIUS, -BLUR_RADIUS)
        made = []
        for levels in (worse, better):
            degradation = from_levels(levels)
            made.append(corrupt(blur(window, degradation.blur)[inner, inner], degradation, noise))
        return made[0], made[1]

    def _window(self, rng: np.random.Generator) -> Image:
        """A patch with BLUR_RADIUS pixels around, turned, mirrored, colours shuffled; a photo's border is repeated."""
        until = self.pack.until
        photo = self.pack.photo(int(np.searchsorted(until, rng.integers(until[-1]), side="right")))
        height, width = photo.shape[:2]
        top, left = rng.integers(0, (height - self.patch + 1, width - self.patch + 1))
        around = np.arange(-BLUR_RADIUS, self.patch + BLUR_RADIUS)
        rows, columns = np.clip(top + around, 0, height - 1), np.clip(left + around, 0, width - 1)
        window = photo[rows[:, None], columns][..., rng.permutation(3)]
        return np.rot90(window[:, ::-1] if rng.integers(2) else window, int(rng.integers(4)))


def _to_tensor(images_BHWC: Image) -> Tensor:
    return torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).float().div_(255)


def batches(sampler: PairSampler, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """Batches start .. stop - 1, made ahead by `workers` processes (0: here)."""
    loader = DataLoader(sampler, batch_size=None, sampler=range(start, stop), num_workers=workers)
    return iter(loader)
