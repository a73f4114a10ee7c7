"""Quality of a restored image against its original: PSNR and SSIM.

Both take two uint8 arrays, height x width x 3, RGB, range 0 .. 255, compute in float64 and crop no border.
The order of the channels does not matter: each weighs a third, none is converted to luma.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]

SSIM_LEAST_SIDE = 11
"""Pixels of the smallest side with an SSIM: the side of the Gaussian window."""


def psnr(first_HWC: Bytes, second_HWC: Bytes) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal images.

    Raises:
        ValueError: not two uint8 images of one shape with 3 channels, or an image without pixels.
    """
    _check(first_HWC, second_HWC)
    error = float(np.mean(np.square(first_HWC.astype(np.float64) - second_HWC)))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(first_HWC: Bytes, second_HWC: Bytes) -> float:
    """Structural similarity (Wang et al. 2004), mean over channels and over windows that lie inside; 1 when equal.

    Gaussian window with sigma 1.5, 11 x 11; population covariance; K1 = 0.01, K2 = 0.03.

    Raises:
        ValueError: not two uint8 images of one shape with 3 channels, or a side below `SSIM_LEAST_SIDE`.
    """
    from skimage.metrics import structural_similarity  # of the extra `quality`

    _check(first_HWC, second_HWC)
    height, width, _ = first_HWC.shape
    if min(height, width) < SSIM_LEAST_SIDE:
        raise ValueError(f"SSIM needs at least {SSIM_LEAST_SIDE}x{SSIM_LEAST_SIDE} pixels, got {width}x{height}")
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            first_HWC.astype(np.float64),
            second_HWC.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    )


def _check(first_HWC: Bytes, second_HWC: Bytes) -> None:
    for name, image in (("first", first_HWC), ("second", second_HWC)):
        if image.dtype != np.uint8:
            raise ValueError(f"the {name} image must be uint8 (0 .. 255), got {image.dtype}")
        if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"the {name} image must be height x width x 3, got {image.shape}")
    if first_HWC.shape != second_HWC.shape:
        raise ValueError(f"the images differ in shape: {first_HWC.shape} and {second_HWC.shape}")
