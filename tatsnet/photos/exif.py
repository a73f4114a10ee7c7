"""EXIF blocks: a TIFF structure (TIFF 6.0, section 2; EXIF 2.32) that is changed in place.

In place, because the notes of camera makers hold offsets into the block: one that is written anew breaks them.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from PIL import Image
from PIL.ExifTags import IFD
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

HEAD = b"Exif\0\0"
ORIENTATION = 274
_THUMBNAIL_START, _THUMBNAIL_BYTES = 513, 514
_SIZES = {256: 0, 257: 1}
_EXIF_SIZES = {40962: 0, 40963: 1}
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_CENTIMETRE, _INCH = 3, 2.54
_MOST_PER_INCH = 1e6
_FORMATS = {3: "H", 4: "I"}


class _Entry(NamedTuple):
    tag: int
    kind: int
    values: int
    at: int


def orientation(block: bytes) -> int:
    """The orientation that an EXIF block names, 1 to 8; 1 where it names none.

    Raises:
        struct.error, ValueError: it is no EXIF block.
    """
    order, start = _head(block)
    for entry in _entries(block, order, start):
        if entry.tag == ORIENTATION and entry.kind in _FORMATS:
            value = int(struct.unpack_from(order + _FORMATS[entry.kind], block, entry.at)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def upright(block: bytes, size: tuple[int, int]) -> bytes:
    """An EXIF block of an upright photo: orientation 1, its width and height, no thumbnail.

    Raises:
        struct.error, ValueError: it is no EXIF block.
    """
    order, start = _head(block)
    data = bytearray(block)
    entries = list(_entries(block, order, start))
    for entry in entries:
        if entry.tag == ORIENTATION:
            _put(data, order, entry, 1)
        if entry.tag in _SIZES:
            _put(data, order, entry, size[_SIZES[entry.tag]])
        if entry.tag == IFD.Exif:
            (at,) = struct.unpack_from(f"{order}I", block, entry.at)
            for inner in _entries(block, order, at):
                if inner.tag in _EXIF_SIZES:
                    _put(data, order, inner, size[_EXIF_SIZES[inner.tag]])
    return _without_thumbnail(data, order, start + 2 + 12 * len(entries))


def with_resolution(block: bytes | None, resolution: tuple[float, float]) -> bytes:
    """An EXIF block that says the pixels per inch: the one given if there is one, or a new one that says no more."""
    if block is not None:
        return block
    exif = Image.Exif()
    exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = (IFDRational(round(value * 100), 100) for value in resolution)
    exif[_UNIT] = 2
    return exif.tobytes().removeprefix(HEAD)


def resolution(block: bytes) -> tuple[float, float] | None:
    """Pixels per inch, across and down, that an EXIF block names; None where it names none or cannot be read."""
    exif = Image.Exif()
    try:
        exif.load(block)
        return per_inch(exif.get(_X_RESOLUTION), exif.get(_Y_RESOLUTION), exif.get(_UNIT))
    except Exception:  # blocks that editors write are broken in every imaginable way
        return None


def per_inch(across: Any, down: Any, unit: Any) -> tuple[float, float] | None:
    """Pixels per inch of two numbers and a unit as tag 296 has it; None where they say nothing."""
    try:
        values = float(across), float(down)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if unit not in (None, 2, _CENTIMETRE) or not all(0 < value < _MOST_PER_INCH for value in values):
        return None
    scale = _INCH if unit == _CENTIMETRE else 1.0
    return values[0] * scale, values[1] * scale


def from_tags(data: bytes, offset: int, left_out: frozenset[int]) -> bytes | None:
    """The tags of a TIFF file's directory as an EXIF block; None where there are none.

    Args:
        data: the file.
        offset: where the directory lies.
        left_out: tags that do not belong into the block.
    """
    exif = Image.Exif()
    exif.endian, exif.bigtiff = ("<" if data[:2] == b"II" else ">"), 43 in data[2:4]
    exif.load_from_fp(io.BytesIO(data), offset)
    for inner in (IFD.Exif, IFD.GPSInfo):
        if inner in exif:
            _keep_letters(exif.get_ifd(inner))
    for tag in list(exif):
        if tag in left_out:
            del exif[tag]
    _keep_letters(exif)
    exif.bigtiff = False
    return exif.tobytes().removeprefix(HEAD) if len(exif) else None


def tags(block: bytes) -> dict[int, Any]:
    """The tags of an EXIF block, as Pillow writes them; those of its inner directories in dictionaries.

    Raises:
        ValueError: the block cannot be read, or not be written as a TIFF file's directory.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _loaded_tags(block)
            directory = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
            directory.update(found)
            directory.tobytes(8)
    except Exception as error:  # blocks that editors write are broken in every imaginable way
        raise ValueError(f"the EXIF block cannot be written as TIFF tags ({error})") from error
    return found


def _loaded_tags(block: bytes) -> dict[int, Any]:
    exif = Image.Exif()
    exif.load(block)
    for inner in (IFD.Exif, IFD.GPSInfo):
        if inner in exif:
            found = exif.get_ifd(inner)
            if IFD.Interop in found:
                found[IFD.Interop] = exif.get_ifd(IFD.Interop)
            _keep_letters(found)
            exif[inner] = found
    _keep_letters(exif)
    return {tag: value for tag, value in exif.items() if value != {}}


def _keep_letters(tags: Image.Exif | dict[int, object]) -> None:
    """Texts as bytes: Pillow reads them as Latin-1 and would write what is not ASCII as question marks."""
    for tag, value in list(tags.items()):
        if isinstance(value, str) and not value.isascii():
            tags[tag] = value.encode("latin-1", "replace")


def _head(block: bytes) -> tuple[str, int]:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise ValueError("not an EXIF block")
    return order, int(struct.unpack_from(f"{order}I", block, 4)[0])


def _entries(block: bytes, order: str, start: int) -> Iterator[_Entry]:
    """The entries of a directory; `at` is where a value of at most four bytes lies."""
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for index in range(count):
        at = start + 2 + 12 * index
        tag, kind, values = struct.unpack_from(f"{order}HHI", block, at)
        yield _Entry(tag, kind, values, at + 8)


def _put(data: bytearray, order: str, entry: _Entry, value: int) -> None:
    letter = _FORMATS.get(entry.kind)
    if letter is not None and entry.values == 1 and value < 256 ** struct.calcsize(letter):
        struct.pack_into(order + letter, data, entry.at, value)


def _without_thumbnail(data: bytearray, order: str, link: int) -> bytes:
    """The block with no second directory; the thumbnail's bytes are zero, or gone where they end the block."""
    if len(data) < link + 4:
        return bytes(data)
    (second,) = struct.unpack_from(f"{order}I", data, link)
    struct.pack_into(f"{order}I", data, link, 0)
    try:
        values = {
            entry.tag: int(struct.unpack_from(f"{order}I", data, entry.at)[0])
            for entry in (_entries(bytes(data), order, second) if second else ())
            if entry.kind == 4 and entry.values == 1
        }
    except struct.error:
        return bytes(data)
    start, count = values.get(_THUMBNAIL_START, 0), values.get(_THUMBNAIL_BYTES, 0)
    if not (link + 4 <= start < start + count <= len(data)):
        return bytes(data)
    if start + count >= len(data) - 1:
        return bytes(data[:start])
    data[start : start + count] = bytes(count)
    return bytes(data)
