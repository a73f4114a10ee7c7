"""What every decoder gives, and what they share: the limits of what is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tatsnet.photos.metadata import Metadata
from tatsnet.system.memory import NotEnoughMemoryError, check_memory

MAX_PIXELS = 178_000_000
"""Pixels of the largest photo that is read. More is taken for a decompression bomb."""

PIXEL_BYTES, COPIES = 24, 3
"""Bytes and copies that reading a photo, restoring it once and writing it takes at its fullest, beside a strip of rows:
float32 RGB before and after, and the pixels as they are stored, so many times."""

TOO_LARGE = f"more than the {MAX_PIXELS // 1_000_000} million pixels that are read; crop or scale it down first"


class UnsupportedImageError(ValueError):
    """A sound image of a kind that is refused: the message says which and what to do."""


class DamagedImageError(ValueError):
    """An image of which something is missing or wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """Samples as they lie in a file, not yet upright: uint8 or uint16; C is 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA.

    Attributes:
        samples_HWC: see above.
        orientation: 1 to 8 as EXIF counts them.
        metadata: upright already.
        notes: what was missing or left out, in words.
    """

    samples_HWC: npt.NDArray[np.generic]
    orientation: int
    metadata: Metadata
    notes: tuple[str, ...] = ()


def memory_of(width: int, height: int, stored: float = 3) -> int:
    """Bytes that a photo takes from reading to writing.

    Args:
        width, height: pixels.
        stored: bytes of a pixel in the file, unpacked: 3 for 8-bit RGB.
    """
    return int(width * height * (PIXEL_BYTES + COPIES * stored))


def check_size(width: int, height: int, stored: float = 3) -> None:
    """Refuse, before it is unpacked, an image of no or more than `MAX_PIXELS` pixels, or for which memory lacks.

    Args:
        width, height, stored: as of `memory_of`.

    Raises:
        UnsupportedImageError: it is larger, or there is too little memory.
        DamagedImageError: it has an empty side.
    """
    if width < 1 or height < 1:
        raise DamagedImageError("it has no pixels")
    if width * height > MAX_PIXELS:
        raise UnsupportedImageError(TOO_LARGE)
    try:
        check_memory(memory_of(width, height, stored), f"a photo of {width}x{height} pixels")
    except NotEnoughMemoryError as error:
        raise UnsupportedImageError(str(error)) from error
