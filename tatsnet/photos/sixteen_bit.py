"""16-bit PNG and TIFF, which Pillow would cut to 8 bits: read by OpenCV and tifffile."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from tatsnet.photos.decoded import (
    ORIENTATION,
    Decoded,
    UnsupportedImageError,
    check_single_frame,
    check_size,
    read_exif,
)

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PNG_GREYS = (0, 4)
_LEVEL = 3
_PNG_CHUNK = 2**31 - 1
_TIFF_ICC = 34675
_MINISWHITE, _MINISBLACK, _RGB = 0, 1, 2
_ASSOCIATED_ALPHA = 1

Samples = npt.NDArray[np.uint16]


def decode(data: bytes) -> Decoded | None:
    """Decode a PNG or TIFF whose samples have 16 bits; None for any other image.

    Raises:
        UnsupportedImageError: more than `MAX_PIXELS`, or a layout that is refused.
        Exception: whatever the decoders raise on damaged bytes.
    """
    if data[:8] == PNG_HEAD and data[24] == 16:
        return _decode_png(data)
    if data[:4] in TIFF_HEADS:
        return _decode_tiff(data)
    return None


def encode(kind: str, samples_HWC: Samples, icc: bytes | None, exif: bytes | None) -> bytes:
    """Encode uint16 samples, C in 1 .. 4, as `PNG` (with EXIF) or `TIFF` (without), both lossless."""
    return _encode_png(samples_HWC, icc, exif) if kind == "PNG" else _encode_tiff(samples_HWC, icc)


def _decode_png(data: bytes) -> Decoded:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        check_size(image.width, image.height)
        check_single_frame(image)
        image.load()  # unlike OpenCV it refuses a file that is cut short
        orientation, exif = read_exif(image)
        icc = image.info.get("icc_profile")
    samples_HWC = _decode_with_opencv(data)
    if data[25] in _PNG_GREYS:
        samples_HWC = samples_HWC[..., [0, 3]] if samples_HWC.shape[2] == 4 else samples_HWC[..., :1]
    return Decoded(samples_HWC=samples_HWC, orientation=orientation, icc=icc, exif=exif)


def _decode_with_opencv(data: bytes | bytearray) -> Samples:
    samples: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise UnsupportedImageError("a 16-bit image that cannot be unpacked; save it without compression or as PNG")
    samples_HWC = samples.reshape(samples.shape[0], samples.shape[1], -1)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[samples_HWC.shape[2]]
    ordered_HWC: Samples = samples_HWC[..., order]
    return ordered_HWC


def _decode_tiff(data: bytes) -> Decoded | None:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        check_size(page.imagewidth, page.imagelength)
        if page.bitspersample in (1, 2, 4, 8):
            return None
        if page.bitspersample != 16 or page.sampleformat != 1:
            raise UnsupportedImageError(
                f"its samples have {page.bitspersample} bits or are not whole numbers; export it as 16-bit"
            )
        photometric = int(page.photometric)
        colours = {_MINISWHITE: 1, _MINISBLACK: 1, _RGB: 3}.get(photometric)
        if colours is None or page.samplesperpixel - colours not in (0, 1) or page.imagedepth != 1:
            raise UnsupportedImageError("neither grey nor RGB, with or without transparency; convert it to RGB")
        samples_HWC = _tiff_samples(page, data)
        if photometric == _MINISWHITE:
            samples_HWC[..., 0] = 65535 - samples_HWC[..., 0]
        if page.samplesperpixel > colours and _ASSOCIATED_ALPHA in [int(kind) for kind in page.extrasamples]:
            samples_HWC = _unmultiplied(samples_HWC)
        orientation, icc = page.tags.valueof(ORIENTATION, 1), page.tags.valueof(_TIFF_ICC)
        return Decoded(samples_HWC=samples_HWC, orientation=int(orientation), icc=icc, exif=None)


def _tiff_samples(page: tifffile.TiffPage, data: bytes) -> Samples:
    try:
        samples = page.asarray()
    except (KeyError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
        return _decode_with_opencv(_with_upright_tag(page, data))
    if page.samplesperpixel > 1 and page.axes.startswith("S"):
        samples = np.moveaxis(samples, 0, -1)
    return samples.reshape(page.imagelength, page.imagewidth, -1).astype(np.uint16)


def _with_upright_tag(page: tifffile.TiffPage, data: bytes) -> bytearray:
    """The file with orientation 1: OpenCV turns some TIFF files by itself and fails on others."""
    patched = bytearray(data)
    tag = page.tags.get(ORIENTATION)
    if tag is not None:
        struct.pack_into(f"{page.parent.byteorder}H", patched, tag.valueoffset, 1)
    return patched


def _unmultiplied(samples_HWC: Samples) -> Samples:
    alpha_HW1 = samples_HWC[..., -1:]
    colours_HWC = samples_HWC[..., :-1].astype(np.float64) * 65535 / np.maximum(alpha_HW1, 1)
    return np.concatenate([np.rint(np.minimum(colours_HWC, 65535)).astype(np.uint16), alpha_HW1], axis=2)


def _encode_tiff(samples_HWC: Samples, icc: bytes | None) -> bytes:
    channels = samples_HWC.shape[2]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples_HWC[..., 0] if channels == 1 else samples_HWC,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        compressionargs={"level": _LEVEL},
        predictor=True,
        iccprofile=icc,
        metadata=None,
        software=False,
    )
    return buffer.getvalue()


def _encode_png(samples_HWC: Samples, icc: bytes | None, exif: bytes | None) -> bytes:
    """A PNG (ISO/IEC 15948) with the filter Sub on every row."""
    height, width, channels = samples_HWC.shape
    rows = np.ascontiguousarray(samples_HWC.astype(">u2")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 1
    filtered[:, 1:] = rows
    filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    parts = [PNG_HEAD, _chunk(b"IHDR", header)]
    if icc is not None:
        parts.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif is not None:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packed = zlib.compress(filtered.tobytes(), _LEVEL)
    parts += [_chunk(b"IDAT", packed[start : start + _PNG_CHUNK]) for start in range(0, len(packed), _PNG_CHUNK)]
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
