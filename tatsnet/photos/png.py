"""PNG (ISO/IEC 15948) of 8 and 16 bits: pixels by libpng, what lies beside them chunk by chunk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL.PngImagePlugin import PngInfo, putchunk

from tatsnet.photos import exif, iptc
from tatsnet.photos.decoded import DamagedImageError, Decoded, UnsupportedImageError, check_size
from tatsnet.photos.metadata import COLOUR_CHUNKS, TEXT_CHUNKS, Chunk, Metadata, upright_xmp

HEAD = b"\x89PNG\r\n\x1a\n"
_BODY = 33
"""Where the chunks after the first one, the header, begin."""

_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
"""By colour type; of a palette, once it is unpacked."""

_LEVEL = 3
_XMP = b"XML:com.adobe.xmp"
_COMMENT = "Comment"
_EXIF_TEXTS = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_INCH = 0.0254
_TEXT_LIMIT = 64 * 2**20


class _Found(NamedTuple):
    name: bytes
    body: bytes
    raw: bytes
    sound: bool


def decode(data: bytes) -> Decoded:
    """Decode a PNG file.

    Raises:
        UnsupportedImageError: too large, or an animation.
        Exception: whatever the decoders raise on damaged bytes.
    """
    found = list(_chunks(data))
    if not found or found[0].name != b"IHDR" or len(found[0].body) != 13:
        raise DamagedImageError("it has no header")
    width, height, depth, colour = struct.unpack_from(">IIBB", found[0].body)
    if colour not in _CHANNELS:
        raise DamagedImageError("its header is wrong")
    check_size(width, height, _CHANNELS[colour] * max(depth, 8) / 8)
    notes = []
    bad = sorted({chunk.name.decode("ascii") for chunk in found if not chunk.sound and _is_extra(chunk.name)})
    if bad:
        notes.append(f"damaged parts beside the pixels were left out ({', '.join(bad)})")
    if found[-1].name != b"IEND":
        notes.append("its end is missing")
    extra = [chunk for chunk in found if chunk.sound and _is_extra(chunk.name)]
    if any(chunk.name == b"acTL" and chunk.body[:4] > b"\0\0\0\1" for chunk in extra):
        raise UnsupportedImageError("an animation, not a photo; export one frame")
    pixels = [chunk.raw for chunk in found if not _is_extra(chunk.name) or (chunk.name == b"tRNS" and chunk.sound)]
    samples = imagecodecs.png_decode(b"".join([HEAD, *pixels]))
    orientation, metadata, unread = _metadata(extra, width, height)
    if unread:
        notes.append(f"damaged parts beside the pixels were left out ({', '.join(unread)})")
    return Decoded(
        samples_HWC=samples.reshape(height, width, -1),
        orientation=orientation,
        metadata=metadata,
        notes=tuple(notes),
    )


def encode(samples_HWC: npt.NDArray[np.generic], metadata: Metadata) -> bytes:
    """Encode uint8 or uint16 samples, C in 1 .. 4."""
    pixels = imagecodecs.png_encode(samples_HWC[..., 0] if samples_HWC.shape[2] == 1 else samples_HWC, level=_LEVEL)
    made = io.BytesIO()
    made.write(pixels[:_BODY])
    for name, body in _extra_chunks(metadata):
        putchunk(made, name, body)
    made.write(memoryview(pixels)[_BODY:])
    return made.getvalue()


def _chunks(data: bytes) -> Iterator[_Found]:
    """Every whole chunk, up to the end or to what is no chunk."""
    at = len(HEAD)
    while len(data) >= at + 12:
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data) or not name.isalpha():
            return
        body = data[at + 8 : end - 4]
        sound = zlib.crc32(body, zlib.crc32(name)) == struct.unpack_from(">I", data, end - 4)[0]
        yield _Found(name, body, data[at:end], sound)
        if name == b"IEND":
            return
        at = end


def _is_extra(name: bytes) -> bool:
    return bool(name[0] & 0x20)


def _metadata(extra: list[_Found], width: int, height: int) -> tuple[int, Metadata, list[str]]:
    """The orientation, what the chunks beside the pixels say, and the names of those that cannot be read."""
    said, unread, block = Metadata(), [], None
    for chunk in extra:
        try:
            match chunk.name:
                case b"iCCP":
                    said = replace(said, icc=_inflated(chunk.body[chunk.body.index(b"\0") + 2 :]))
                case b"eXIf":
                    block = _sound_exif(chunk.body)
                case b"pHYs":
                    across, down, unit = struct.unpack(">IIB", chunk.body)
                    if unit == 1 and across and down:
                        said = replace(said, resolution=(across * _INCH, down * _INCH))
                case name if name in TEXT_CHUNKS and chunk.body.startswith(_EXIF_TEXTS):
                    block = block or _sound_exif(iptc.unwrapped(_profile(chunk)))
                case name if name in TEXT_CHUNKS:
                    said = _with_text(said, chunk)
                case name if name in COLOUR_CHUNKS:
                    said = replace(said, chunks=(*said.chunks, (name, chunk.body)))
        except (ValueError, IndexError, struct.error, zlib.error):
            unread.append(chunk.name.decode("ascii"))
    if block is None:
        return 1, said, unread
    orientation = exif.orientation(block)
    resolution = said.resolution or exif.resolution(block)
    if orientation > 4:
        width, height = height, width
        resolution = resolution and resolution[::-1]
    return orientation, replace(said, exif=exif.upright(block, (width, height)), resolution=resolution), unread


def _sound_exif(data: bytes) -> bytes:
    """An EXIF block that can be made upright.

    Raises:
        ValueError, struct.error: it cannot.
    """
    block = data.removeprefix(exif.HEAD)
    exif.upright(block, (1, 1))
    return block


def _profile(chunk: _Found) -> str:
    """The text of a profile that ImageMagick has written as hexadecimal digits."""
    rest = chunk.body.partition(b"\0")[2]
    return (_inflated(rest[1:]) if chunk.name == b"zTXt" else rest).decode("latin-1")


def _with_text(said: Metadata, chunk: _Found) -> Metadata:
    """With a text: XMP, IPTC and the comment where they have a place of their own, others as they are."""
    key, _, rest = chunk.body.partition(b"\0")
    if key == _XMP and chunk.name == b"iTXt":
        packet = rest[2:].split(b"\0", 2)[2]
        return replace(said, xmp=upright_xmp(_inflated(packet) if rest[0] == 1 else packet))
    if key == iptc.RAW_PROFILE.encode():
        return replace(said, iptc=iptc.from_text(_profile(chunk)))
    if key == _COMMENT.encode() and chunk.name == b"tEXt" and said.comment is None:
        return replace(said, comment=rest)
    return replace(said, chunks=(*said.chunks, (chunk.name, chunk.body)))


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(data, _TEXT_LIMIT)
    if unpacker.unconsumed_tail:
        raise ValueError("it unpacks to too much")
    return plain


def _extra_chunks(metadata: Metadata) -> list[Chunk]:
    """The chunks between the header and the pixels: what describes colours first, as the standard wants it."""
    chunks = [part for part in metadata.chunks if part[0] in COLOUR_CHUNKS]
    if metadata.icc is not None:
        chunks = [part for part in chunks if part[0] != b"sRGB"]
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.resolution is not None:
        across, down = (min(round(value / _INCH), 2**31 - 1) for value in metadata.resolution)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif))
    texts = PngInfo()
    if metadata.xmp is not None:
        texts.add_itxt(_XMP.decode(), metadata.xmp.decode("utf-8", "replace"))
    if metadata.iptc is not None:
        texts.add_text(iptc.RAW_PROFILE, iptc.to_text(metadata.iptc), zip=True)
    if metadata.comment is not None:
        texts.add_text(_COMMENT, metadata.comment.replace(b"\0", b"").decode("latin-1"))
    chunks += [(part[0], part[1]) for part in texts.chunks]
    return chunks + [part for part in metadata.chunks if part[0] in TEXT_CHUNKS]
