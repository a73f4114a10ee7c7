"""Whether of a JPEG file (ITU-T T.81) nothing is missing but its end marker."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

END = b"\xff\xd9"
_MORE = b"\x55\x2a\x9c\x63\x0f\xe1" * 32
_START = b"\xff\xd8"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_ALONE = (0x00, 0x01, *range(0xD0, 0xD8))
_COEFFICIENTS = range(64)


def lacks_only_its_end(data: bytes) -> bool:
    """Whether the pixels of a JPEG file without end marker are all there.

    They are if further bits behind the last one change nothing, and each colour has all its coefficients. The decoder
    itself would make grey of what is missing, without a word.
    """
    if data[:2] != _START or END in data[-2:]:
        return False
    data = data.removesuffix(b"\xff")
    try:
        if not _has_all_scans(data):
            return False
        with _decoded(data + END) as plain, _decoded(data + _MORE + END) as longer:
            return bool(np.array_equal(np.asarray(plain), np.asarray(longer)))
    except (OSError, SyntaxError, ValueError, IndexError):
        return False


def _decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.load()
    return image


def _has_all_scans(data: bytes) -> bool:
    """Whether the scans bring every coefficient of every colour to its full precision (T.81, annex G)."""
    wanted: set[tuple[int, int]] = set()
    done: set[tuple[int, int]] = set()
    for code, body in _segments(data):
        if code in _FRAMES:
            wanted = {(body[6 + 3 * index], at) for index in range(body[5]) for at in _COEFFICIENTS}
        if code == _SCAN:
            count = body[0]
            first, last, precision = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count] & 15
            if precision == 0:
                done |= {(body[1 + 2 * index], at) for index in range(count) for at in range(first, last + 1)}
    return bool(wanted) and wanted <= done


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 3 < len(data):
        code = data[at + 1]
        if code in _ALONE or code == 0xFF:
            at += 1 if code == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield code, data[at + 4 : at + 2 + length]
        at += 2 + length
