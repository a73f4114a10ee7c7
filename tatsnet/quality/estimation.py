"""How blurred, noisy and compressed a photo is, from its pixels alone: where a restoration may begin.

A quadratic function of a dozen statistics, fitted by least squares to photos with known degradations
(`python -m benchmarks.estimation`, which also measures its error). Levels are those of a task vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tatsnet.data.degradation import from_task
from tatsnet.network.tasks import Task

Floats: TypeAlias = npt.NDArray[np.float64]

SIDE = 512
"""Pixels of the square from the middle of the photo that is looked at."""

COEFFICIENTS = Path(__file__).with_name("estimation.csv")
_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA = np.array([0.5, -0.4187, -0.0813])
_LAGS = (1, 2, 4, 8)
_BLOCK = 8
_LEAST_SIDE = 24
_SMALLEST = 0.02
_LARGEST = 4.0


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


def estimate(rgb_HWC: npt.NDArray[np.float32]) -> Estimate:
    """Look at the middle of a photo.

    Args:
        rgb_HWC: in [0, 1]; one with a side below 24 pixels tells nothing, and counts as good.
    """
    if min(rgb_HWC.shape[:2]) < _LEAST_SIDE:
        return Estimate(task=(0.0, 0.0, 0.0), blur=0.0, noise=0.0, quality=None)
    mean, scale, weights = _coefficients()
    standard = np.clip((features(rgb_HWC) - mean) / scale, -_LARGEST, _LARGEST)
    deblur, denoise, dejpeg = (float(level) for level in np.clip(expanded(standard) @ weights, 0, 1))
    degradation = from_task((deblur, denoise, dejpeg))
    return Estimate(
        task=(deblur, denoise, dejpeg),
        blur=degradation.blur,
        noise=degradation.noise,
        quality=degradation.quality,
    )


def features(rgb_HWC: npt.NDArray[np.float32]) -> Floats:
    """Statistics of the middle of a photo: differences at four distances, noise, edges of 8x8 blocks; logarithms."""
    height, width = rgb_HWC.shape[:2]
    top, left = (max(0, (side - SIDE) // 2) // _BLOCK * _BLOCK for side in (height, width))
    middle = rgb_HWC[top : top + SIDE, left : left + SIDE].astype(np.float64) * 255
    luma, chroma = middle @ _LUMA, middle @ _CHROMA
    lags = [np.mean(np.square(_down(luma, lag))) + np.mean(np.square(_down(luma.T, lag))) for lag in _LAGS]
    step = np.abs(_down(luma.T, 1))
    bent = np.mean(np.square(np.diff(luma, 2, axis=0))) + np.mean(np.square(np.diff(luma, 2, axis=1)))
    values = [
        *lags,
        bent,
        _typical(_diagonal(luma)),
        _quiet(_diagonal(luma)),
        _typical(_diagonal(chroma)),
        _quiet(_diagonal(chroma)),
        np.mean(np.square(step)) / max(_SMALLEST, float(np.mean(step))) ** 2,
        _seams(luma),
        _seams(luma.T),
        _SMALLEST + np.mean(step < 0.5),
    ]
    return np.log(np.maximum(values, _SMALLEST))


def expanded(standard_F: Floats) -> Floats:
    """One, the features, and their products by twos."""
    first, second = np.triu_indices(len(standard_F))
    return np.concatenate([[1.0], standard_F, standard_F[first] * standard_F[second]])


def _down(image_HW: Floats, lag: int) -> Floats:
    difference: Floats = image_HW[lag:] - image_HW[:-lag]
    return difference


def _diagonal(image_HW: Floats) -> Floats:
    """The diagonal Haar band, in which white noise keeps its standard deviation."""
    band: Floats = (image_HW[:-1, :-1] - image_HW[1:, :-1] - image_HW[:-1, 1:] + image_HW[1:, 1:]) / 2
    return band


def _typical(band_HW: Floats) -> float:
    return float(np.median(np.abs(band_HW)) / 0.6745)


def _quiet(band_HW: Floats) -> float:
    """The spread in the quietest tenth of the 8x8 blocks: noise is everywhere, detail is not."""
    height, width = (side // _BLOCK * _BLOCK for side in band_HW.shape)
    blocks = band_HW[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return float(np.quantile(blocks.std(axis=(1, 3)), 0.1))


def _seams(image_HW: Floats) -> float:
    """How much larger the steps between rows are at one of eight phases than at the others; 1 without blocks."""
    steps = np.abs(np.diff(image_HW, axis=0)).mean(axis=1)
    phases = [float(steps[phase::_BLOCK].mean()) + _SMALLEST for phase in range(_BLOCK)]
    return max(phases) / float(np.median(phases))


@lru_cache(1)
def _coefficients() -> tuple[Floats, Floats, Floats]:
    """Mean and scale of the features, and the weights: (F), (F), (1 + F + F (F + 1) / 2) x 3."""
    rows = [[float(value) for value in line.split(",")] for line in COEFFICIENTS.read_text().splitlines()]
    return np.array(rows[0]), np.array(rows[1]), np.array(rows[2:])
