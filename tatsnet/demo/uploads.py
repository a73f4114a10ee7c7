"""Photos that come over the wire: limited before they are read, checked before they are unpacked, never stored."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from starlette.requests import Request

from tatsnet.photos.files import Photo, PhotoError, photo_from_bytes


class TooLarge(ValueError):
    """More bytes or pixels than are taken: the message says how many are."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is taken.

    Attributes:
        size_bytes: of a file.
        pixels: of a photo.
    """

    size_bytes: int = 256 * 2**20
    pixels: int = 50_000_000


async def body(request: Request, limits: Limits) -> bytes:
    """The bytes of an upload.

    Raises:
        TooLarge: there are more than allowed; known from the header, or as soon as that many have come.
    """
    message = f"the file has more than the {limits.size_bytes // 2**20} MiB that this page takes; use tatsnet restore"
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limits.size_bytes:
        raise TooLarge(message)
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limits.size_bytes:
            raise TooLarge(message)
    return bytes(data)


def photo_of(data: bytes, name: str, limits: Limits) -> Photo:
    """The photo in an upload.

    Raises:
        TooLarge: it has more pixels than allowed; known before it is unpacked.
        PhotoError: it is no photo that can be read.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "TIFF", "WEBP")) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = limits.pixels + 1
    except Exception:  # what cannot be opened here is told below, in words
        pixels = 0
    if pixels <= limits.pixels:
        photo = photo_from_bytes(data, name)
        pixels = photo.rgb_HWC.shape[0] * photo.rgb_HWC.shape[1]
        if pixels <= limits.pixels:
            return photo
    raise TooLarge(
        f"the photo has more than the {limits.pixels // 10**6} million pixels that this page takes; use tatsnet restore"
    )


__all__ = ["Limits", "PhotoError", "TooLarge", "body", "photo_of"]
