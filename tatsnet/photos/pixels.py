"""Pixels turned and rounded, in bands of rows that take little memory.

Shape suffixes: H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_BAND_BYTES = 2**24


def to_uint8(rgb_HWC: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Round values in [0, 1] to the nearest of 0 .. 255; values outside are clipped.

    Raises:
        ValueError: a value is not a finite number.
    """
    rounded = np.empty(rgb_HWC.shape, np.uint8)
    for rows in bands(rgb_HWC.shape):
        band = rgb_HWC[rows]
        if not np.isfinite(band).all():
            raise ValueError("the image holds values that are not finite numbers")
        rounded[rows] = np.rint(np.clip(band, 0, 1) * 255)
    return rounded


def upright(samples_HWC: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Undo an EXIF orientation (TIFF 6.0, tag 274); values that it does not define count as upright."""
    if orientation in (5, 6, 7, 8):
        samples_HWC = samples_HWC.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        samples_HWC = samples_HWC[::-1]
    if orientation in (2, 3, 6, 7):
        samples_HWC = samples_HWC[:, ::-1]
    return samples_HWC


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """The rows of an image in bands that take little memory; any other array in one."""
    rows = max(1, _BAND_BYTES // max(1, 4 * int(np.prod(shape[1:]))))
    return (slice(first, first + rows) for first in range(0, shape[0], rows))
