"""TIFF of 1 to 8 and of 16 bits read, by tifffile.

Tags are TIFF 6.0's; a photo is grey or RGB, with or without transparency.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from tatsnet.photos import exif
from tatsnet.photos.decoded import DamagedImageError, Decoded, UnsupportedImageError, check_size
from tatsnet.photos.metadata import Metadata, upright_xmp
from tatsnet.photos.tiff_pages import photo_page
from tatsnet.photos.tiff_tags import ICC, IPTC, NO_EXIF, XMP

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_MINISWHITE, _MINISBLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_COLOURS = {_MINISWHITE: 1, _MINISBLACK: 1, _RGB: 3, _PALETTE: 1, _YCBCR: 3}
_ASSOCIATED_ALPHA, _ALPHA = 1, 2
_NAMES = {5: "CMYK", 8: "LAB", 9: "LAB", 10: "LAB"}
_BITS = (1, 2, 4, 8, 16)


_quiet = threading.local()

Samples = npt.NDArray[Any]


def decode(data: bytes) -> Decoded:
    """Decode the photo in a TIFF file: of several pages the largest, see `photo_page`.

    Raises:
        UnsupportedImageError: too large, a camera's raw file, or a layout that is refused.
        Exception: whatever the decoders raise on damaged bytes.
    """
    with _silent(), tifffile.TiffFile(io.BytesIO(data)) as file:
        page, notes = photo_page(file)
        _check_kind(page)
        check_size(page.imagewidth, page.imagelength, page.samplesperpixel * max(page.bitspersample, 8) / 8)
        _check_whole(page, len(data))
        samples_HWC, left_out = _samples(page, data)
        orientation, metadata, unread = _metadata(page, file, data)
        return Decoded(
            samples_HWC=samples_HWC,
            orientation=orientation,
            metadata=metadata,
            notes=(*notes, *left_out, *unread),
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Without tifffile's remarks on damaged files, which show its objects; in this thread only."""
    logging.getLogger("tifffile").addFilter(_is_heard)
    _quiet.on = True
    try:
        yield
    finally:
        _quiet.on = False


def _is_heard(_: logging.LogRecord) -> bool:
    return not getattr(_quiet, "on", False)


def _check_kind(page: tifffile.TiffPage) -> None:
    photometric, bits = int(page.photometric), page.bitspersample
    if photometric not in _COLOURS or page.imagedepth != 1 or page.samplesperpixel < _COLOURS[photometric]:
        name = _NAMES.get(photometric)
        what = f"its colours are {name}" if name else "neither grey nor RGB, with or without transparency"
        raise UnsupportedImageError(f"{what}, which is not supported; convert it to RGB or grey")
    if bits not in _BITS or page.sampleformat not in (1, 4) or (bits > 8 and photometric in (_PALETTE, _YCBCR)):
        raise UnsupportedImageError(
            f"its samples have {bits} bits or are not whole numbers from 0; export it as 16-bit or 8-bit"
        )


def _check_whole(page: tifffile.TiffPage, length: int) -> None:
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not segments or any(count == 0 or offset + count > length for offset, count in segments):
        raise DamagedImageError("a part of its pixels is missing")


def _samples(page: tifffile.TiffPage, data: bytes) -> tuple[Samples, list[str]]:
    """Samples of grey or RGB, with or without alpha, and what was left out."""
    photometric = int(page.photometric)
    if photometric == _YCBCR:
        return _by_pillow(page, data), []
    samples_HWC = page.asarray()
    if page.samplesperpixel > 1 and page.axes.startswith("S"):
        samples_HWC = np.moveaxis(samples_HWC, 0, -1)
    samples_HWC = samples_HWC.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    colours = _COLOURS[photometric]
    kinds = _extra_kinds(page, page.samplesperpixel - colours)
    alpha = next((index for index in range(len(kinds)) if kinds[index] in (_ASSOCIATED_ALPHA, _ALPHA)), None)
    plain_HWC = samples_HWC[..., :colours]
    if photometric == _PALETTE:
        palette = np.asarray(page.colormap).T
        plain_HWC = (palette[plain_HWC[..., 0].astype(np.intp)] >> 8).astype(np.uint8)
    else:
        plain_HWC = _scaled(plain_HWC, page.bitspersample)
    if photometric == _MINISWHITE:
        plain_HWC = np.iinfo(plain_HWC.dtype).max - plain_HWC
    left_out = page.samplesperpixel - colours - (alpha is not None)
    notes = [f"{left_out} further channel{'s' * (left_out > 1)} beside its colours left out"] if left_out else []
    if alpha is None:
        return plain_HWC, notes
    alpha_HW1 = _scaled(samples_HWC[..., colours + alpha, None], page.bitspersample)
    if kinds[alpha] == _ASSOCIATED_ALPHA:
        plain_HWC = _unmultiplied(plain_HWC, alpha_HW1)
    return np.concatenate([plain_HWC, alpha_HW1], axis=2), notes


def _extra_kinds(page: tifffile.TiffPage, count: int) -> list[int]:
    """What each sample beside the colours is: a single one of which the file does not say so is alpha, as OpenCV and
    Pillow write and read it; one that it calls unspecified is not.
    """
    kinds = [int(kind) for kind in page.extrasamples]
    if count == 1 and not kinds:
        return [_ALPHA]
    return (kinds + [0] * count)[:count]


def _by_pillow(page: tifffile.TiffPage, data: bytes) -> Samples:
    """YCbCr, whose colours may have fewer pixels: libtiff makes RGB of it."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        for index in range(page.index):
            image.seek(index + 1)
        if image.size != (page.imagewidth, page.imagelength):
            raise UnsupportedImageError("YCbCr colours in an inner page, which is not supported; convert it to RGB")
        return np.asarray(image.convert("RGB"))


def _scaled(samples: Samples, bits: int) -> Samples:
    """Samples of fewer than 8 bits as 8 bits; others as they are."""
    if bits >= 8:
        return samples.astype(np.uint16 if bits == 16 else np.uint8)
    return samples.astype(np.uint8) * np.uint8(255 // (2**bits - 1))


def _unmultiplied(colours_HWC: Samples, alpha_HW1: Samples) -> Samples:
    top = np.iinfo(alpha_HW1.dtype).max
    full_HWC = colours_HWC.astype(np.float64) * top / np.maximum(alpha_HW1, 1)
    return np.rint(np.minimum(full_HWC, top)).astype(alpha_HW1.dtype)


def _metadata(page: tifffile.TiffPage, file: tifffile.TiffFile, data: bytes) -> tuple[int, Metadata, list[str]]:
    """The orientation, what the page's tags say (where it has none, the first page's), and what cannot be read."""
    first = file.pages.first

    def value(tag: int) -> Any:
        return page.tags.valueof(tag, first.tags.valueof(tag))

    orientation = value(exif.ORIENTATION)
    orientation = int(orientation) if orientation in range(1, 9) else 1
    width, height = page.imagewidth, page.imagelength
    unread: list[str] = []
    try:
        block = exif.from_tags(data, first.offset, NO_EXIF)
        if block is not None:
            block = exif.upright(block, (height, width) if orientation > 4 else (width, height))
    except Exception:  # tags that editors write are broken in every imaginable way
        block = None
        unread.append("tags that cannot be read were left out")
    across, down = (_fraction(value(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    resolution = exif.per_inch(across, down, value(_UNIT))
    xmp, records = _bytes(value(XMP)), _bytes(value(IPTC))
    metadata = Metadata(
        icc=_bytes(value(ICC)),
        exif=block,
        xmp=None if xmp is None else upright_xmp(xmp),
        iptc=records,
        resolution=resolution[::-1] if resolution and orientation > 4 else resolution,
    )
    return orientation, metadata, unread


def _bytes(value: Any) -> bytes | None:
    """A tag's value as bytes: IPTC is often written as numbers of four bytes."""
    if isinstance(value, bytes):
        return value or None
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, tuple | np.ndarray) and len(value):
        array = np.asarray(value)
        return array.astype("<u4" if array.max() > 255 or len(array) % 4 else "u1").tobytes()
    return None


def _fraction(value: Any) -> float | None:
    return value[0] / value[1] if isinstance(value, tuple) and len(value) == 2 and value[1] else None
