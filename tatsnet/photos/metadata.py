"""What a photo's file says beside its pixels, and what of it each output format can hold."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from tatsnet.photos import exif

GREY_PROFILE = b"GRAY"
JPEG_EXIF_LIMIT = 65_533 - 2
JPEG_XMP_LIMIT = 65_533 - 31
JPEG_IPTC_LIMIT = 65_000
JPEG_COMMENT_LIMIT = 65_533

COLOUR_CHUNKS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")

Chunk = tuple[bytes, bytes]
"""Name and body of a chunk of a PNG file."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a photo's file says beside its pixels; every part may be missing.

    Attributes:
        icc: the colour profile, as in the file.
        exif: a TIFF structure without the head `Exif`, with an upright orientation and no thumbnail. Of a TIFF file,
            the tags that do not describe how its pixels lie.
        xmp: an XMP packet, with an upright orientation and no thumbnail.
        iptc: IPTC-IIM records.
        comment: a JPEG file's comment, as in the file.
        resolution: pixels per inch, across and down.
        chunks: of a PNG file, those that describe its colours, and its texts.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    resolution: tuple[float, float] | None = None
    chunks: tuple[Chunk, ...] = ()


_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>\s*))[1-8]""")
_THUMBNAILS = re.compile(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails\s*>", re.DOTALL)


def upright_xmp(packet: bytes) -> bytes:
    """An XMP packet (UTF-8) with an upright orientation and without thumbnails of the photo as it was."""
    return _ORIENTATION.sub(rb"\g<1>1", _THUMBNAILS.sub(b"", packet))


def fitted(kind: str, metadata: Metadata, *, grey: bool) -> tuple[Metadata, tuple[str, ...]]:
    """The part of the metadata that a format can hold, and what it cannot, in words.

    Args:
        kind: `JPEG`, `PNG`, `TIFF` or `WEBP`.
        metadata: of the input.
        grey: the photo has one colour channel.
    """
    lost: list[str] = []
    kept = metadata
    if kind != "PNG":
        names = {name for name, _ in metadata.chunks}
        own_colours = names & set(COLOUR_CHUNKS) - {b"sRGB"}
        if own_colours and metadata.icc is None:
            lost.append(f"its colour space ({', '.join(sorted(name.decode() for name in own_colours))})")
        if names & set(TEXT_CHUNKS):
            lost.append("its PNG texts")
        kept = dataclasses.replace(kept, chunks=())
    if kind == "JPEG":
        limits = (
            ("exif", "EXIF", JPEG_EXIF_LIMIT),
            ("xmp", "XMP", JPEG_XMP_LIMIT),
            ("iptc", "IPTC", JPEG_IPTC_LIMIT),
            ("comment", "comment", JPEG_COMMENT_LIMIT),
        )
        for field, name, limit in limits:
            if len(getattr(kept, field) or b"") > limit:
                lost.append(f"its {name} of more than 64 KiB")
                kept = dataclasses.replace(kept, **{field: None})  # type: ignore[arg-type]
    if kind == "TIFF" and kept.exif is not None and not _has_tags(kept.exif):
        lost.append("its EXIF, which is damaged")
        kept = dataclasses.replace(kept, exif=None)
    if kind in ("TIFF", "WEBP") and kept.comment is not None:
        lost.append("its comment")
        kept = dataclasses.replace(kept, comment=None)
    if kind == "WEBP" and kept.iptc is not None:
        lost.append("its IPTC")
        kept = dataclasses.replace(kept, iptc=None)
    if kind == "WEBP" and grey and kept.icc is not None and kept.icc[16:20] == GREY_PROFILE:
        lost.append("its grey colour profile")
        kept = dataclasses.replace(kept, icc=None)
    return kept, tuple(lost)


def _has_tags(block: bytes) -> bool:
    try:
        return bool(exif.tags(block))
    except ValueError:
        return False
