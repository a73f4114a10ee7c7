"""NIQE: how far an image's statistics lie from those of natural photos; no reference, lower is better.

A. Mittal, R. Soundararajan, A. C. Bovik: Making a "Completely Blind" Image Quality Analyzer. IEEE Signal Processing
Letters 20(3), 2013; equation numbers are the paper's. Open details follow the authors' MATLAB release: rgb2gray luma
rounded to whole numbers, replicated borders, circular shifts inside a patch, imresize's antialiased bicubic halving.

The pristine model is the release's (NOTICE), which publications use: 125 photos, patches of 96 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d
from scipy.special import gamma

Floats: TypeAlias = npt.NDArray[np.float64]

PATCH = 96
LEAST_SIDE = 2 * PATCH
"""Pixels of the smallest side with a NIQE: four patches, below which their covariance says nothing."""

_PRISTINE = Path(__file__).with_name("niqe_pristine.npz")
_FEATURES = 36
_LUMA = np.array([0.2989, 0.5870, 0.1140])
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_FLAT = 1e-6
_SHAPES = np.linspace(0.2, 10, 9801)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))


@dataclass(frozen=True, kw_only=True, eq=False)
class PristineModel:
    """The multivariate Gaussian of natural photos (eq. 9)."""

    mean_36: Floats
    cov_36x36: Floats


@dataclass(frozen=True, kw_only=True)
class Aggd:
    """An asymmetric generalised Gaussian (eq. 4): shape alpha in [0.2, 10], left and right scale beta."""

    shape: float
    left: float
    right: float

    @property
    def mean(self) -> float:
        """Its mean, eta of eq. 8."""
        return (self.right - self.left) * float(gamma(2 / self.shape) / gamma(1 / self.shape))


def load_pristine() -> PristineModel:
    """The authors' model."""
    with np.load(_PRISTINE, allow_pickle=False) as file:
        return PristineModel(mean_36=file["mean_36"], cov_36x36=file["cov_36x36"])


def niqe(image_HWC: npt.NDArray[np.uint8], model: PristineModel) -> float:
    """The distance of an image from natural photos (eq. 10): about 3 to 8 for a good one, 20 and more for a bad one.

    Args:
        image_HWC: uint8, RGB. What exceeds a multiple of 96 pixels at the right and the bottom is left out, and so
            are patches without any texture.

    Raises:
        ValueError: not a uint8 RGB image, a side below `LEAST_SIDE`, or fewer than two patches with texture.
    """
    if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ValueError(f"NIQE needs uint8, height x width x 3, got {image_HWC.dtype} {image_HWC.shape}")
    height, width, _ = image_HWC.shape
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"NIQE needs at least {LEAST_SIDE}x{LEAST_SIDE} pixels, got {width}x{height}")
    luma_HW = np.rint(image_HWC[: height - height % PATCH, : width - width % PATCH] @ _LUMA)
    fine = _patch_features(mscn(luma_HW), PATCH)
    coarse = _patch_features(mscn(halve(luma_HW)), PATCH // 2)
    features_N36 = np.hstack([fine, coarse])
    features_N36 = features_N36[np.isfinite(features_N36).all(axis=1)]
    if len(features_N36) < 2:
        raise ValueError("NIQE needs at least two patches with texture; the image is flat")
    covariance = (model.cov_36x36 + np.cov(features_N36, rowvar=False)) / 2
    off = features_N36.mean(axis=0) - model.mean_36
    return math.sqrt(float(off @ np.linalg.pinv(covariance) @ off))


def mscn(luma_HW: Floats) -> Floats:
    """Mean-subtracted, contrast-normalised luma (eq. 1-3): 7x7 Gaussian of sigma 7/6, constant 1, range 0 .. 255."""
    window = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    window /= window.sum()
    mean_HW = _filter(luma_HW, window)
    deviation_HW: Floats = np.sqrt(np.maximum(_filter(luma_HW**2, window) - mean_HW**2, 0))
    return (luma_HW - mean_HW) / (deviation_HW + 1)


def fit_aggd(values: Floats) -> Aggd:
    """Fit by moments (Lasmar et al. 2009). Scales are NaN where one side has no value."""
    if not (values < 0).any() or not (values > 0).any():
        return Aggd(shape=math.nan, left=math.nan, right=math.nan)
    left = math.sqrt(np.mean(values[values < 0] ** 2))
    right = math.sqrt(np.mean(values[values > 0] ** 2))
    ratio = float(np.mean(np.abs(values)) ** 2 / np.mean(values**2))
    ratio *= (left**3 + right**3) * (left + right) / (left**2 + right**2) ** 2
    shape = float(np.interp(ratio, _RATIOS, _SHAPES))
    scale = math.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return Aggd(shape=shape, left=left * scale, right=right * scale)


def halve(luma_HW: Floats) -> Floats:
    """Half of each side by cubic convolution (a = -0.5) stretched twofold, as MATLAB's imresize; even sides."""
    distance = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    window = np.where(distance <= 1, near, far)
    window /= window.sum()
    rows: Floats = correlate1d(luma_HW, window, axis=0, mode="reflect", origin=-1)[::2]
    result: Floats = correlate1d(rows, window, axis=1, mode="reflect", origin=-1)[:, ::2]
    return result


def _filter(luma_HW: Floats, window: Floats) -> Floats:
    result: Floats = correlate1d(correlate1d(luma_HW, window, axis=0, mode="nearest"), window, axis=1, mode="nearest")
    return result


def _patch_features(mscn_HW: Floats, side: int) -> Floats:
    height, width = mscn_HW.shape
    patches = [
        mscn_HW[top : top + side, left : left + side]
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    return np.array([_features(patch) for patch in patches])


def _features(patch_HW: Floats) -> list[float]:
    """18 features of a patch: its own fit, then those of the products with four neighbours (eq. 5-8)."""
    if np.mean(patch_HW**2) < _FLAT:
        return [math.nan] * (_FEATURES // 2)
    own = fit_aggd(patch_HW)
    features = [own.shape, (own.left + own.right) / 2]
    for shift in _SHIFTS:
        fit = fit_aggd(patch_HW * np.roll(patch_HW, shift, axis=(0, 1)))
        features += [fit.shape, fit.mean, fit.left, fit.right]
    return features
