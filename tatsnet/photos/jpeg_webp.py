"""JPEG and WebP, by Pillow."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from tatsnet.photos import exif, iptc
from tatsnet.photos.decoded import DamagedImageError, Decoded, UnsupportedImageError, check_size
from tatsnet.photos.jpeg_end import END, lacks_only_its_end
from tatsnet.photos.metadata import Metadata, upright_xmp

_MODES = {"L": "L", "RGB": "RGB", "RGBA": "RGBA", "RGBX": "RGB"}
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "exact": True},
}


def decode(data: bytes) -> Decoded:
    """Decode a JPEG or WebP image; the first picture of several in a JPEG file.

    Raises:
        UnsupportedImageError: too large, an animation, or colours such as CMYK.
        Exception: whatever the decoders raise on damaged bytes.
    """
    try:
        return _decode(data, ())
    except OSError:
        if not lacks_only_its_end(data):
            raise
        return _decode(data + END, ("its end marker is missing",))


def encode(kind: str, samples_HWC: npt.NDArray[np.uint8], metadata: Metadata) -> bytes:
    """Encode uint8 samples, C in 1 .. 4, as `JPEG` (without alpha) or `WEBP` (grey as three channels)."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples_HWC.shape[2]]
    image = Image.fromarray(samples_HWC[..., 0] if mode == "L" else samples_HWC, mode=mode)
    options = dict(_OPTIONS[kind])
    block = metadata.exif
    if kind == "WEBP":
        if mode in ("L", "LA"):
            image = image.convert("RGB" if mode == "L" else "RGBA")
        if metadata.resolution is not None:
            block = exif.with_resolution(block, metadata.resolution)
    else:
        if metadata.resolution is not None:
            options["dpi"] = tuple(min(round(value), 65535) for value in metadata.resolution)
        if metadata.comment is not None:
            options["comment"] = metadata.comment
        if metadata.iptc is not None:
            options["extra"] = iptc.jpeg_segment(metadata.iptc)
    if metadata.icc is not None:
        options["icc_profile"] = metadata.icc
    if block is not None:
        options["exif"] = exif.HEAD + block
    if metadata.xmp is not None:
        options["xmp"] = metadata.xmp
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _decode(data: bytes, notes: tuple[str, ...]) -> Decoded:
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "WEBP"))
    except UnidentifiedImageError as error:
        raise DamagedImageError("its header cannot be read") from error
    with image:
        check_size(image.width, image.height)
        if image.format == "WEBP" and getattr(image, "n_frames", 1) > 1:
            raise UnsupportedImageError("an animation, not a photo; export one frame")
        mode = _MODES.get(image.mode)
        if mode is None:
            raise UnsupportedImageError(
                f"its colours are {image.mode}, which is not supported; convert it to 8 or 16-bit RGB or grey"
            )
        image.load()
        samples = np.asarray(image if image.mode == mode else image.convert(mode))
        orientation, metadata, unread = _metadata(image)
    return Decoded(
        samples_HWC=samples.reshape(samples.shape[0], samples.shape[1], -1),
        orientation=orientation,
        metadata=metadata,
        notes=(*notes, *unread),
    )


def _metadata(image: Image.Image) -> tuple[int, Metadata, list[str]]:
    """The orientation, what the file says beside its pixels, and what of it cannot be read."""
    info, unread, orientation = image.info, [], 1
    block: bytes | None = info.get("exif")
    in_exif: tuple[float, float] | None = None
    if block is not None:
        try:
            block = block.removeprefix(exif.HEAD)
            orientation = exif.orientation(block)
            size = image.size[::-1] if orientation > 4 else image.size
            block = exif.upright(block, size)
            in_exif = exif.resolution(block)
        except (ValueError, struct.error):
            orientation, block = 1, None
            unread.append("its EXIF block is damaged and was left out")
    more = getattr(image, "n_frames", 1) - 1
    if more:
        unread.append(f"{more} further picture{'s' * (more > 1)} in it, such as a preview or a gain map, left out")
    if any(body.startswith(_EXTENDED_XMP) for _, body in getattr(image, "applist", ())):
        unread.append("the extended part of its XMP was left out")
    xmp, comment = info.get("xmp"), info.get("comment")
    resources = info.get("photoshop")
    records = resources.get(iptc.RESOURCE) if isinstance(resources, dict) else None
    across, down = info.get("jfif_density") or (None, None)  # Pillow's "dpi" is made up where there is none
    unit = {1: 2, 2: 3}.get(info.get("jfif_unit", 0), 1)  # as EXIF counts them
    resolution = exif.per_inch(across, down, unit) or in_exif
    metadata = Metadata(
        icc=info.get("icc_profile") or None,
        exif=block,
        xmp=None if not xmp else upright_xmp(xmp),
        iptc=records if isinstance(records, bytes) and records else None,
        comment=comment or None,
        resolution=resolution[::-1] if resolution and orientation > 4 else resolution,
    )
    return orientation, metadata, unread
