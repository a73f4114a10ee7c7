"""Training pairs made where the training runs: photos, crops, blur, noise and JPEG as tensor operations.

The same distribution as `PairSampler`, without its codec and its processes. No step waits for the CPU, so that a CUDA
graph can hold it. Shapes: B batch, C colours, H height, W width, S side of a patch with its surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from tatsnet.data.degradation import BLUR_RADIUS
from tatsnet.data.jpeg import SIDE, Jpeg
from tatsnet.data.levels import Sampling, draw_levels, task_between
from tatsnet.data.pairs import Batch, PhotoPack

SHARPEST = 0.05
"""A Gaussian of so few pixels has one sample that is not 0: no blur."""


class DevicePairs:
    """Batches of training pairs on a device; on one device item i is always the same batch.

    Args:
        pack: the clean photos, each at least patch x patch.
        patch: side of a patch, pixels, a multiple of 16.
        batch: pairs per batch.
        relative: relative ground truth (Figure 4b) in place of the clean photo.
        sampling: how degradations are drawn.
        seed: of the batches.
        device: where they are made and stay.

    Raises:
        ValueError: a photo smaller than the patch, or a patch that JPEG's blocks do not fill.
    """

    def __init__(
        self,
        pack: PhotoPack,
        *,
        patch: int,
        batch: int,
        relative: bool,
        sampling: Sampling,
        seed: int,
        device: torch.device,
    ) -> None:
        pack.require(patch)
        if patch % SIDE:
            raise ValueError(f"on a GPU patch must be a multiple of {SIDE}, got {patch}")
        self.patch, self.batch, self.relative, self.sampling, self.seed = patch, batch, relative, sampling, seed
        self.generator = torch.Generator(device)
        self._device = device
        self._pixels = torch.from_numpy(pack.pixels).to(device)
        shapes = torch.from_numpy(pack.shapes).to(device)
        area = shapes.prod(1)
        self._shapes, self._starts, self._until = shapes, (area.cumsum(0) - area) * 3, area.cumsum(0).double()
        self._jpeg = Jpeg().to(device)
        self._across = torch.arange(patch + 2 * BLUR_RADIUS, device=device)
        distance = (self._across - BLUR_RADIUS - torch.arange(patch, device=device)[:, None]).float()
        self._distance = torch.where(distance.abs() <= BLUR_RADIUS, distance, torch.inf)

    def __getitem__(self, iteration: int) -> Batch:
        self.seed_for(iteration)
        return self.draw()

    def seed_for(self, iteration: int) -> None:
        """Let the next `draw` be the batch of this iteration."""
        self.generator.manual_seed(int(np.random.SeedSequence([self.seed, iteration]).generate_state(1, np.uint64)[0]))

    def draw(self) -> Batch:
        """A batch by the generator as it is; images channels-last."""
        worse, better = draw_levels(
            self.batch, relative=self.relative, sampling=self.sampling, generator=self.generator
        )
        window = self._windows().float()
        inner = slice(BLUR_RADIUS, -BLUR_RADIUS)
        noise = torch.randn((self.batch, 3, self.patch, self.patch), generator=self.generator, device=self._device)
        given = self._degrade(window, worse, noise)
        target = self._degrade(window, better, noise) if self.relative else window[..., inner, inner]
        images = [(x / 255).contiguous(memory_format=torch.channels_last) for x in (given, target)]
        return Batch(images[0], images[1], task_between(worse, better))

    def _windows(self) -> Tensor:
        """Patches with BLUR_RADIUS pixels around, uint8, B x C x S x S: turned, mirrored, colours shuffled."""
        uniform = torch.rand((5, self.batch, 1), generator=self.generator, device=self._device, dtype=torch.float64)
        photo = torch.searchsorted(self._until, uniform[0, :, 0] * self._until[-1], right=True)
        photo = photo.clamp(max=len(self._until) - 1)
        shape, start = self._shapes[photo], self._starts[photo]
        free = shape - self.patch + 1
        corner = (uniform[1:3, :, 0].T * free).long().minimum(free - 1)
        turn, mirror = uniform[3], uniform[4]
        along = torch.where(mirror < 0.5, self._across, self._across.flip(0))
        upright = torch.where((mirror * 4 % 2) < 1, self._across, self._across.flip(0))
        rows = (corner[:, :1] + upright - BLUR_RADIUS).clamp(min=0).minimum(shape[:, :1] - 1) * shape[:, 1:]
        columns = (corner[:, 1:] + along - BLUR_RADIUS).clamp(min=0).minimum(shape[:, 1:] - 1)
        first, second = torch.where(turn < 0.5, rows, columns), torch.where(turn < 0.5, columns, rows)
        place = start[:, None, None] + 3 * (first[:, :, None] + second[:, None, :])
        colours = torch.rand((self.batch, 3), generator=self.generator, device=self._device).argsort(1)
        return self._pixels[place[:, None] + colours[:, :, None, None]]

    def _degrade(self, window_BCSS: Tensor, levels_BD: Tensor, noise_BCHW: Tensor) -> Tensor:
        """Blur, noise, JPEG (tatsnet.data.degradation), whole numbers 0 .. 255."""
        blur, sigma, jpeg = levels_BD.float().unbind(1)
        noisy = self._blur(window_BCSS, blur / 10) + sigma.view(-1, 1, 1, 1) * noise_BCHW
        whole = noisy.clamp(0, 255).round()
        compressed = self._jpeg(whole, 102 - 2 * jpeg.clamp(min=1))
        return torch.where((jpeg > 0).view(-1, 1, 1, 1), compressed, whole)

    def _blur(self, window_BCSS: Tensor, width_B: Tensor) -> Tensor:
        width = width_B.clamp(min=SHARPEST).view(-1, 1, 1, 1)
        kernel = torch.exp(-((self._distance / width) ** 2) / 2)
        kernel = kernel / kernel.sum(-1, keepdim=True)
        return kernel @ window_BCSS @ kernel.mT


class DeviceBatches:
    """Batches start .. stop - 1 of some `DevicePairs`, in turn."""

    def __init__(self, pairs: DevicePairs, start: int, stop: int) -> None:
        self.pairs, self._range = pairs, range(start, stop)

    def __iter__(self) -> Iterator[Batch]:
        return (self.pairs[iteration] for iteration in self._range)
