"""Degraded photos to measure on, and how well a network restores them by the oracle task vector.

Shapes: B batch, C colours, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tatsnet.data.degradation import Degradation, Image, degrade, evaluation_grid
from tatsnet.network.tasks import Task
from tatsnet.quality.metrics import psnr

Restore = Callable[[Tensor, Tensor], Tensor]
"""image B x 3 x H x W in [0, 1], task B x 3 -> restored B x 3 x H x W."""


@dataclass(frozen=True, kw_only=True)
class EvalPhoto:
    """A photo of the evaluation set: clean, and its 26 degraded versions in the order of the grid without its start."""

    name: str
    clean: Image
    degraded: tuple[Image, ...]


def degraded_grid() -> tuple[Degradation, ...]:
    """The 26 degradations of the evaluation set: the grid without its undegraded start."""
    return evaluation_grid()[1:]


def crop_windows(height: int, width: int, crop: int, count: int) -> list[tuple[int, int]]:
    """Top left corners of `count` square crops, evenly spread along the middle of a photo's longer side.

    Raises:
        ValueError: the crop does not fit.
    """
    if crop > min(height, width):
        raise ValueError(f"a crop of {crop} pixels does not fit into a photo of {width}x{height}")
    along = [round((2 * k + 1) * max(height, width) / (2 * count) - crop / 2) for k in range(count)]
    along = [min(max(start, 0), max(height, width) - crop) for start in along]
    across = (min(height, width) - crop) // 2
    return [(across, start) if width >= height else (start, across) for start in along]


def make_eval_photos(name: str, clean: Image, crop: int, count: int, seed: int) -> list[EvalPhoto]:
    """Degrade a whole photo 26 ways and cut the same crops out of each version (crop 0: keep the photo whole).

    Each degradation has noise of its own, drawn from the seed.
    """
    versions = [degrade(clean, d, np.random.default_rng([seed, i])) for i, d in enumerate(degraded_grid())]
    if crop == 0:
        return [EvalPhoto(name=name, clean=clean, degraded=tuple(versions))]
    cuts = []
    height, width, _ = clean.shape
    for k, (top, left) in enumerate(crop_windows(height, width, crop, count)):
        window = np.s_[top : top + crop, left : left + crop]
        degraded = tuple(np.ascontiguousarray(version[window]) for version in versions)
        cuts.append(EvalPhoto(name=f"{name}-{k}", clean=np.ascontiguousarray(clean[window]), degraded=degraded))
    return cuts


def to_batch(images: Sequence[Image], device: torch.device) -> Tensor:
    """Images of one size as B x 3 x H x W in [0, 1], channels last."""
    stacked = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2)
    return stacked.float().div_(255)


def to_images(batch_BCHW: Tensor) -> list[Image]:
    """Clamp to [0, 1], round to 8 bits."""
    rounded = batch_BCHW.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    return list(rounded.permute(0, 2, 3, 1).cpu().numpy())


@torch.inference_mode()
def restore_all(restore: Restore, images: Sequence[Image], tasks: Sequence[Task], device: torch.device) -> list[Image]:
    """Restore each image by its task; images of one size."""
    return to_images(restore(to_batch(images, device), torch.tensor(tasks, dtype=torch.float32, device=device)))


def input_psnr(photos: Sequence[EvalPhoto]) -> float:
    """Mean PSNR of the degraded photos, dB."""
    return float(np.mean([psnr(image, photo.clean) for photo in photos for image in photo.degraded]))


def oracle_outputs(
    restore: Restore, photos: Sequence[EvalPhoto], device: torch.device, chunk: int = 26
) -> Iterator[tuple[EvalPhoto, list[Image]]]:
    """Each photo with its 26 versions restored by the task vector of their true degradation."""
    tasks = [d.task for d in degraded_grid()]
    for photo in photos:
        outputs: list[Image] = []
        for at in range(0, len(tasks), chunk):
            outputs += restore_all(restore, photo.degraded[at : at + chunk], tasks[at : at + chunk], device)
        yield photo, outputs


def oracle_psnr(restore: Restore, photos: Sequence[EvalPhoto], device: torch.device) -> float:
    """Mean PSNR with the oracle task vector, dB."""
    scores = [psnr(out, p.clean) for p, outs in oracle_outputs(restore, photos, device) for out in outs]
    return float(np.mean(scores))
