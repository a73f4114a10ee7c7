"""IPTC-IIM records in the wrappers of JPEG (Photoshop's resource 0x0404) and PNG (ImageMagick's text)."""

from __future__ import annotations

import re
import struct

RESOURCE = 0x0404
_PHOTOSHOP = b"Photoshop 3.0\0"
_APP13 = b"\xff\xed"
RAW_PROFILE = "Raw profile type iptc"


def jpeg_segment(records: bytes) -> bytes:
    """The segment of a JPEG file that holds the records; they have at most 65,000 bytes."""
    resource = struct.pack(">4sHHI", b"8BIM", RESOURCE, 0, len(records)) + records + b"\0" * (len(records) % 2)
    body = _PHOTOSHOP + resource
    return _APP13 + struct.pack(">H", len(body) + 2) + body


def to_text(records: bytes) -> str:
    """The text under the name `RAW_PROFILE`: what it is, how long, and the bytes as hexadecimal digits."""
    wrapped = struct.pack(">4sHHI", b"8BIM", RESOURCE, 0, len(records)) + records + b"\0" * (len(records) % 2)
    digits = wrapped.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return f"\niptc\n{len(wrapped):8}\n{lines}\n"


def from_text(text: str) -> bytes | None:
    """The records in such a text; None where it holds none."""
    data = unwrapped(text)
    return from_resources(data) if data[:4] == b"8BIM" else data or None


def unwrapped(text: str) -> bytes:
    """The bytes in such a text, of any kind; none where it is no such text."""
    found = re.fullmatch(r"\s*\w+\s+\d+\s+([0-9A-Fa-f\s]+)", text)
    digits = "".join(found[1].split()) if found else ""
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def from_resources(data: bytes) -> bytes | None:
    """The records in a sequence of Photoshop resources; None where there are none."""
    at = 0
    while data[at : at + 4] == b"8BIM" and len(data) >= at + 12:
        code, name = struct.unpack_from(">HB", data, at + 4)
        start = at + 6 + (name + 2) // 2 * 2
        if len(data) < start + 4:
            return None
        (length,) = struct.unpack_from(">I", data, start)
        if code == RESOURCE:
            return data[start + 4 : start + 4 + length]
        at = start + 4 + (length + 1) // 2 * 2
    return None
