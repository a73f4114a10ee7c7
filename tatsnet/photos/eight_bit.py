"""8-bit JPEG, PNG, TIFF and WebP, by Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tatsnet.photos.decoded import Decoded, UnsupportedImageError, check_single_frame, check_size, read_exif

_MODES = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "YCbCr": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGBX",
}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}
_EXIF_LIMIT = 65_000
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 3},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "WEBP": {"quality": 95, "exact": True},
}


def decode(data: bytes) -> Decoded:
    """Decode an image with 8 bits per sample.

    Raises:
        UnsupportedImageError: more than `MAX_PIXELS`, an animation, or colours such as CMYK.
        Exception: whatever the decoders raise on damaged bytes.
    """
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "TIFF", "WEBP")) as image:
        check_size(image.width, image.height)
        check_single_frame(image)
        image.load()
        mode = _MODES.get(image.mode)
        if mode is None:
            raise UnsupportedImageError(
                f"its colours are {image.mode}, which is not supported; convert it to 8 or 16-bit RGB or grey"
            )
        if "transparency" in image.info:
            mode = _WITH_ALPHA.get(mode, mode)
        samples = np.asarray(image if image.mode == mode else image.convert(mode))
        orientation, exif = read_exif(image)
        return Decoded(
            samples_HWC=samples.reshape(samples.shape[0], samples.shape[1], -1),
            orientation=orientation,
            icc=image.info.get("icc_profile"),
            exif=exif,
        )


def encode(kind: str, samples_HWC: npt.NDArray[np.uint8], icc: bytes | None, exif: bytes | None) -> bytes:
    """Encode uint8 samples, C in 1 .. 4, as `JPEG`, `PNG`, `TIFF` or `WEBP`, with the rules of `write_photo`."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples_HWC.shape[2]]
    image = Image.fromarray(samples_HWC[..., 0] if mode == "L" else samples_HWC, mode=mode)
    if kind == "WEBP" and mode in ("L", "LA"):
        image = image.convert("RGB" if mode == "L" else "RGBA")
        icc = None if icc is not None and icc[16:20] == b"GRAY" else icc
    options = dict(_OPTIONS[kind])
    if icc is not None:
        options["icc_profile"] = icc
    if exif is not None and kind != "TIFF" and len(exif) <= _EXIF_LIMIT:
        options["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
