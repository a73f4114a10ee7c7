"""Photos in and out as a photographer expects: what a file was (grey, 16-bit, transparent, profiled) it stays.

Shape suffixes: H height, W width, C channels (1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha).
"""

from __future__ import annotations

import errno
import os
import secrets
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from tatsnet.photos import eight_bit as shallow
from tatsnet.photos import sixteen_bit as deep
from tatsnet.photos.decoded import MAX_PIXELS, TOO_LARGE, Decoded, UnsupportedImageError

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Photo",
    "PhotoError",
    "check_output",
    "list_images",
    "read_photo",
    "to_uint8",
    "write_photo",
]

Pixels: TypeAlias = npt.NDArray[np.float32]

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
"""Formats that are read and written, by suffix. Reading goes by the content, never by the name."""

_DEEP_FORMATS = ("PNG", "TIFF")


class PhotoError(ValueError):
    """A photo that cannot be read or written: the message says which, why, and what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A photo's pixels, upright, and what its file was.

    Attributes:
        rgb_HWC: float32 in [0, 1], RGB in the file's own colour space; a grey photo has three equal channels.
        depth: bits per sample of the file.
        grey: the file had one colour channel.
        alpha_HW: opacity in [0, 1], not multiplied into the colours; None for an opaque photo.
        icc: the colour profile, as in the file.
        exif: the EXIF block of a JPEG, PNG or WebP file, with its orientation set to upright.
    """

    rgb_HWC: Pixels
    depth: Literal[8, 16] = 8
    grey: bool = False
    alpha_HW: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None


def read_photo(path: str | Path) -> Photo:
    """Read a JPEG, PNG, TIFF or WebP photo: the first page of a TIFF, turned upright by its EXIF orientation.

    16-bit PNG and TIFF keep their 16 bits. Palettes become RGB. CMYK, Lab, floating-point and animated files
    are refused.

    Raises:
        PhotoError: the file is missing, a folder, empty, not such an image, damaged, cut short, of a kind that is
            refused, or has more than `MAX_PIXELS` pixels.
    """
    path = Path(path)
    data = _read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoded = deep.decode(data) or shallow.decode(data)
    except UnsupportedImageError as error:
        raise PhotoError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path}: {TOO_LARGE}") from error
    except MemoryError as error:
        raise PhotoError(f"{path}: not enough memory for this photo; make it smaller or free some memory") from error
    except Exception as error:  # decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error, ...
        raise PhotoError(
            f"{path}: the image is damaged or cut short ({_first_line(error)}); copy or export it again"
        ) from error
    return _as_photo(decoded)


def check_output(path: str | Path, photo: Photo) -> None:
    """Refuse, before any long work, a target that `write_photo` could not write.

    Raises:
        PhotoError: unknown suffix, transparency into JPEG, a target that is a folder or whose folder is missing
            or read-only.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(FORMATS)
        raise PhotoError(f"{path}: cannot tell the format from the suffix {path.suffix!r}; end the name in {known}")
    if kind == "JPEG" and photo.alpha_HW is not None:
        raise PhotoError(f"{path}: JPEG cannot hold the photo's transparency; write to a .png, .tif or .webp instead")
    if path.is_dir():
        raise PhotoError(f"{path}: is a folder; give the name of a file")
    folder = _target(path).parent
    if not folder.is_dir():
        raise PhotoError(f"{path}: there is no folder {folder}; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PhotoError(f"{path}: the folder {folder} is read-only; write elsewhere or change its permissions")


def write_photo(path: str | Path, photo: Photo, rgb_HWC: Pixels) -> None:
    """Write restored pixels with the nature of the photo that they came from; the target appears whole or not at all.

    Grey stays grey (the mean of the three channels), transparency and colour profile are put back. A 16-bit photo
    is written with 16 bits to PNG and TIFF and with 8 to JPEG and WebP. JPEG has quality 95 without chroma
    subsampling, WebP quality 95 (and knows no grey: three equal channels, without a grey profile). EXIF goes into
    JPEG, PNG and WebP where it fits.

    Args:
        path: the target; its suffix chooses the format (`FORMATS`).
        photo: the input, as `read_photo` gave it.
        rgb_HWC: values outside [0, 1] are clipped.

    Raises:
        PhotoError: see `check_output`; also pixels of another shape or not finite, an image that is too large for
            the format, a full disk or another failure to write.
    """
    path = Path(path)
    check_output(path, photo)
    kind = FORMATS[path.suffix.lower()]
    if rgb_HWC.shape != photo.rgb_HWC.shape:
        raise PhotoError(f"{path}: the pixels have the shape {rgb_HWC.shape}, the photo {photo.rgb_HWC.shape}")
    if not np.isfinite(rgb_HWC).all():
        raise PhotoError(f"{path}: the restored pixels are not all finite numbers; the network is broken")
    _write_atomically(path, _encode(path, kind, photo, rgb_HWC))


def to_uint8(rgb_HWC: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Round values in [0, 1] to the nearest of 0 .. 255; values outside are clipped.

    Raises:
        ValueError: a value is not a finite number.
    """
    if not np.isfinite(rgb_HWC).all():
        raise ValueError("the image holds values that are not finite numbers")
    rounded: npt.NDArray[np.uint8] = np.rint(np.clip(rgb_HWC, 0, 1) * 255).astype(np.uint8)
    return rounded


def list_images(folder: str | Path) -> list[Path]:
    """Files directly in a folder whose suffix is one of `FORMATS`, in any case, sorted by name; hidden ones left out.

    Raises:
        PhotoError: the folder is missing, not a folder, or may not be read.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise PhotoError(f"{folder}: cannot be listed ({error.strerror}); give a folder with images") from error
    return [path for path in entries if path.suffix.lower() in FORMATS and path.name[0] != "." and path.is_file()]


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if not head:
                raise PhotoError(f"{path}: the file is empty; copy or export it again")
            if not _is_known(head):
                raise PhotoError(f"{path}: not a JPEG, PNG, TIFF or WebP image; convert it to one of them")
            return head + file.read()
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: there is no such file; check the name") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{path}: is a folder; give the name of one photo") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _is_known(head: bytes) -> bool:
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return webp or head[:3] == b"\xff\xd8\xff" or head[:8] == deep.PNG_HEAD or head[:4] in deep.TIFF_HEADS


def _as_photo(decoded: Decoded) -> Photo:
    samples_HWC = _upright(decoded.samples_HWC, decoded.orientation)
    depth: Literal[8, 16] = 16 if samples_HWC.dtype == np.uint16 else 8
    values_HWC = np.divide(samples_HWC, 65535 if depth == 16 else 255, dtype=np.float32)
    channels = values_HWC.shape[2]
    grey = channels <= 2
    rgb_HWC = np.repeat(values_HWC[..., :1], 3, axis=2) if grey else np.ascontiguousarray(values_HWC[..., :3])
    alpha_HW = np.ascontiguousarray(values_HWC[..., -1]) if channels in (2, 4) else None
    return Photo(rgb_HWC=rgb_HWC, depth=depth, grey=grey, alpha_HW=alpha_HW, icc=decoded.icc, exif=decoded.exif)


def _upright(samples_HWC: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Undo an EXIF orientation (TIFF 6.0, tag 274); values that it does not define count as upright."""
    if orientation in (5, 6, 7, 8):
        samples_HWC = samples_HWC.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        samples_HWC = samples_HWC[::-1]
    if orientation in (2, 3, 6, 7):
        samples_HWC = samples_HWC[:, ::-1]
    return samples_HWC


def _encode(path: Path, kind: str, photo: Photo, rgb_HWC: Pixels) -> bytes:
    is_deep = photo.depth == 16 and kind in _DEEP_FORMATS
    colours_HWC = rgb_HWC.mean(axis=2, keepdims=True) if photo.grey else rgb_HWC
    parts = [colours_HWC] if photo.alpha_HW is None else [colours_HWC, photo.alpha_HW[..., None]]
    values_HWC = np.clip(np.concatenate(parts, axis=2, dtype=np.float32), 0, 1)
    try:
        if is_deep:
            return deep.encode(kind, np.rint(values_HWC * 65535).astype(np.uint16), photo.icc, photo.exif)
        return shallow.encode(kind, np.rint(values_HWC * 255).astype(np.uint8), photo.icc, photo.exif)
    except Exception as error:  # encoders raise OSError, ValueError, struct.error, SystemError, ...
        size = f"{rgb_HWC.shape[1]}x{rgb_HWC.shape[0]} pixels"
        reason = _first_line(error)
        raise PhotoError(f"{path}: {size} cannot be stored as {kind} ({reason}); write to a .png or .tif") from error


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _write_atomically(path: Path, data: bytes) -> None:
    target = _target(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        _raise_write_error(path, error)


def _raise_write_error(path: Path, error: OSError) -> NoReturn:
    advice = "check the folder and its permissions"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "free some space or write elsewhere"
    raise PhotoError(f"{path}: cannot be written ({error.strerror}); {advice}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
