"""How blurred, noisy and compressed a photo is, from its pixels alone: where a restoration may begin.

A network of three small layers looks at some forty statistics of the photo. It is fitted to photos with known
degradations (`python -m benchmarks.estimation`, which also measures its error). Levels are those of a task vector.

Shapes: H height, W width, C channels (3, RGB), B blocks, F statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from tatsnet.data.degradation import from_task
from tatsnet.network.tasks import Task

Floats: TypeAlias = npt.NDArray[np.float64]
Pixels: TypeAlias = npt.NDArray[np.float32]

SIDE = 512
"""Pixels of the square from the middle of the photo that is looked at."""

WEIGHTS = Path(__file__).with_name("estimation.npz")
_LEAST_SIDE = 24
_BLOCK = 8
_FLOOR = 0.05
_NEAR_ZERO = 0.8
_FARTHEST = 4.0
_BANDS = ((1, 2), (3, 4), (5, 7), (8, 10), (11, 14))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a photo seems to have suffered.

    Attributes:
        task: levels (deblur, denoise, dejpeg) that would undo it, each in [0, 1].
        blur: width of the Gaussian blur, pixels.
        noise: standard deviation of the noise, of 255.
        quality: of the JPEG compression, 10 to 100; None for no compression.
    """

    task: Task
    blur: float
    noise: float
    quality: int | None


def estimate(rgb_HWC: Pixels) -> Estimate:
    """Look at the middle of a photo.

    Args:
        rgb_HWC: in [0, 1]; one with a side below 24 pixels tells nothing, and counts as good.
    """
    if min(rgb_HWC.shape[:2]) < _LEAST_SIDE:
        return Estimate(task=(0.0, 0.0, 0.0), blur=0.0, noise=0.0, quality=None)
    weights = _weights()
    hidden = standard(features(rgb_HWC), weights["mean"], weights["scale"])
    for layer in ("first", "second"):
        hidden = np.maximum(hidden @ weights[f"{layer}_weight"].T + weights[f"{layer}_bias"], 0)
    levels = np.clip(hidden @ weights["last_weight"].T + weights["last_bias"], 0, 1)
    deblur, denoise, dejpeg = (float(level) for level in levels)
    degradation = from_task((deblur, denoise, dejpeg))
    return Estimate(
        task=(deblur, denoise, dejpeg),
        blur=degradation.blur,
        noise=degradation.noise,
        quality=degradation.quality,
    )


def standard(seen: Floats, mean: Floats, scale: Floats) -> Floats:
    """Statistics in their standard deviations from the mean, no further than `_FARTHEST`: nothing was fitted there."""
    bounded: Floats = np.clip((seen - mean) / scale, -_FARTHEST, _FARTHEST)
    return bounded


def features(rgb_HWC: Pixels) -> Floats:
    """Statistics of the middle of a photo of at least 24x24 pixels."""
    ycc_HWC = cv2.cvtColor(np.ascontiguousarray(_middle(rgb_HWC), np.float32), cv2.COLOR_RGB2YCrCb) * 255
    luma_HW = ycc_HWC[..., 0]
    parts = [_details(luma_HW, 3), _details(ycc_HWC[..., 1], 2), _flat(luma_HW), _edges(luma_HW), _seams(luma_HW)]
    aligned, shifted = _spectrum(luma_HW), _spectrum(luma_HW[4:, 4:])
    # JPEG empties the bands of its own blocks. Emptier shifted ones tell of an older JPEG before a crop: not counted.
    emptied = np.abs(np.minimum((aligned - shifted) * np.repeat([1, -1], len(_BANDS)), 0))
    return np.concatenate([*parts, aligned, emptied]).astype(np.float64)


@lru_cache(1)
def _weights() -> dict[str, Floats]:
    with np.load(WEIGHTS, allow_pickle=False) as file:
        return {name: file[name].astype(np.float64) for name in file.files}


def _middle(rgb_HWC: Pixels) -> Pixels:
    """The middle, cut at multiples of 8 so that JPEG's blocks stay where they are."""
    slices = []
    for length in rgb_HWC.shape[:2]:
        first = max(0, (length - SIDE) // 2) // _BLOCK * _BLOCK
        slices.append(slice(first, first + min(length - first, SIDE)))
    return rgb_HWC[slices[0], slices[1]]


def _log(values: npt.ArrayLike) -> Floats:
    return np.log(np.asarray(values, np.float64) + _FLOOR)


def _details(plane_HW: Pixels, levels: int) -> Floats:
    """Percentiles of the diagonal Haar details, finest first: noise shows in the lower ones, structure in the upper."""
    found = []
    for _ in range(levels):
        height, width = (side // 2 * 2 for side in plane_HW.shape)
        a, b = plane_HW[:height:2, :width:2], plane_HW[:height:2, 1:width:2]
        c, d = plane_HW[1:height:2, :width:2], plane_HW[1:height:2, 1:width:2]
        found.append(np.percentile(np.abs(a - b - c + d) / 2, (50, 90)))
        plane_HW = np.asarray((a + b + c + d) / 2, np.float32)
    return _log(np.concatenate(found))


def _flat(luma_HW: Pixels) -> Floats:
    """How rough blocks are, above all the smoothest."""
    blocks_B = _blocks(luma_HW).std(axis=(1, 2))
    return _log(np.percentile(blocks_B, (10, 50, 90, 99)))


def _edges(luma_HW: Pixels) -> Floats:
    """Percentiles of steps over one pixel, and over two after smoothing."""
    smooth_HW = cv2.GaussianBlur(luma_HW, (0, 0), 1.5)
    fine, coarse = np.abs(np.diff(luma_HW, axis=1)), np.abs(smooth_HW[:, 2:] - smooth_HW[:, :-2])
    return _log(np.concatenate([np.percentile(steps, (50, 90, 99, 99.9)) for steps in (fine, coarse)]))


def _seams(luma_HW: Pixels) -> Floats:
    """Steps over the edges of JPEG's blocks beside those inside them."""
    ratios = []
    for plane in (luma_HW, luma_HW.T):
        steps = np.abs(np.diff(plane, axis=1)).mean(axis=0)
        at_seam = np.arange(1, len(steps) + 1) % _BLOCK == 0
        ratios.append(_log(steps[at_seam].mean()) - _log(steps[~at_seam].mean()))
    return np.asarray(ratios, np.float64)


def _spectrum(luma_HW: Pixels) -> Floats:
    """Cosine coefficients of blocks by frequency: their mean size, and how many are almost 0 as JPEG makes them."""
    blocks_B = _blocks(luma_HW).astype(np.float64)
    basis = cv2.dct(np.eye(_BLOCK))
    sizes_B = np.abs(basis @ blocks_B @ basis.T)
    band = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    chosen = [sizes_B[:, (band >= low) & (band <= high)] for low, high in _BANDS]
    return np.array(
        [*(_log(part.mean(axis=1)).mean() for part in chosen), *((part < _NEAR_ZERO).mean() for part in chosen)]
    )


def _blocks(luma_HW: Pixels) -> Pixels:
    rows, columns = (side // _BLOCK for side in luma_HW.shape)
    cut = luma_HW[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    return cut.transpose(0, 2, 1, 3).reshape(-1, _BLOCK, _BLOCK)
