"""What every decoder gives, and what they share: the size limit and the EXIF block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_PIXELS = 178_000_000
"""Pixels of the largest photo that is read: about 2.1 GB of float32. More is taken for a decompression bomb."""

TOO_LARGE = f"more than the {MAX_PIXELS // 1_000_000} million pixels that are read; crop or scale it down first"

ORIENTATION = 274


class UnsupportedImageError(ValueError):
    """A sound image of a kind that is refused: the message says which and what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """Samples as they lie in a file, not yet upright: uint8 or uint16; C is 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA."""

    samples_HWC: npt.NDArray[np.generic]
    orientation: int
    icc: bytes | None
    exif: bytes | None


def check_size(width: int, height: int) -> None:
    """Refuse an image of more than `MAX_PIXELS` before it is unpacked.

    Raises:
        UnsupportedImageError: it is larger.
    """
    if width * height > MAX_PIXELS:
        raise UnsupportedImageError(TOO_LARGE)


def check_single_frame(image: Image.Image) -> None:
    """Refuse an animated PNG or WebP; further pages of a TIFF and further pictures of an MPO are no animation.

    Raises:
        UnsupportedImageError: it is an animation.
    """
    if image.format in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
        raise UnsupportedImageError("an animation, not a photo; export one frame")


def read_exif(image: Image.Image) -> tuple[int, bytes | None]:
    """A loaded image's orientation, and its EXIF block with an upright one; what cannot be parsed counts as none."""
    block = image.info.get("exif")
    try:
        exif = image.getexif()
        orientation = int(exif.get(ORIENTATION, 1))
        if orientation != 1 and block is not None:
            exif[ORIENTATION] = 1
            block = exif.tobytes()
    except Exception:  # EXIF written by cameras and editors is broken in every imaginable way
        return 1, None
    return orientation, block
