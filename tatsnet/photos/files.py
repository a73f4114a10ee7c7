"""Photos in and out as a photographer expects: what a file was (grey, 16-bit, transparent, profiled) it stays.

Shape suffixes: H height, W width, C channels (1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from tatsnet.photos import jpeg_webp, png, tiff, tiff_writing
from tatsnet.photos.decoded import MAX_PIXELS, TOO_LARGE, Decoded, UnsupportedImageError
from tatsnet.photos.metadata import Metadata, fitted
from tatsnet.photos.pixels import bands, to_uint8, upright
from tatsnet.photos.targets import FORMATS, PhotoError, check_room, check_target, write_target
from tatsnet.photos.tiff_pages import RAW, RAW_SUFFIXES
from tatsnet.system.memory import NotEnoughMemoryError, check_memory, size

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Metadata",
    "Photo",
    "PhotoError",
    "check_output",
    "check_space",
    "list_images",
    "losses",
    "photo_bytes",
    "photo_from_bytes",
    "read_file",
    "read_photo",
    "to_uint8",
    "write_photo",
]

Pixels: TypeAlias = npt.NDArray[np.float32]

_DEEP_FORMATS = ("PNG", "TIFF")
_MOST_BYTES, _PART_BYTES, _HEAD_BYTES = 4 * 2**30, 2**24, 12
_HEADS = (b"II", b"MM", b"FUJIFILM")


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A photo's pixels, upright, and what its file was.

    Attributes:
        rgb_HWC: float32 in [0, 1], RGB in the file's own colour space; a grey photo has three equal channels.
        depth: bits per sample of the file.
        grey: the file had one colour channel.
        alpha_HW: opacity in [0, 1], not multiplied into the colours; None for an opaque photo.
        metadata: what the file said beside its pixels, upright as they are.
        notes: what was missing in the file or left out when it was read, in words.
    """

    rgb_HWC: Pixels
    depth: Literal[8, 16] = 8
    grey: bool = False
    alpha_HW: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()


def read_photo(path: str | Path) -> Photo:
    """Read a JPEG, PNG, TIFF or WebP photo: the full-size page of a TIFF, turned upright by its EXIF orientation.

    16-bit PNG and TIFF keep their 16 bits. Palettes become RGB. CMYK, Lab, floating-point, raw and animated files
    are refused. A file whose pixels are all there is read, and its photo's notes say what else was missing.

    Raises:
        PhotoError: the file is missing, a folder, empty, not such an image, damaged, cut short, of a kind that is
            refused, has more than `MAX_PIXELS` pixels, or there is too little memory for it.
    """
    path = Path(path)
    return photo_from_bytes(read_file(path), path)


def photo_from_bytes(data: bytes, name: str | Path) -> Photo:
    """`read_photo` of a file that is in memory.

    Args:
        data: the file.
        name: for messages, and to know a raw file by its suffix.

    Raises:
        PhotoError: as `read_photo`.
    """
    path = Path(name)
    _check_head(data[:_HEAD_BYTES], path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _as_photo(_decoder(data)(data))
    except UnsupportedImageError as error:
        raise PhotoError(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path}: {TOO_LARGE}") from error
    except MemoryError as error:
        raise PhotoError(f"{path}: not enough memory for this photo; make it smaller or free some memory") from error
    except ImportError as error:
        raise PhotoError(f"{path}: its decoder cannot be loaded ({error}); install the dependencies again") from error
    except Exception as error:  # decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error, ...
        raise PhotoError(
            f"{path}: the image is damaged or cut short ({_reason(error)}); copy or export it again"
        ) from error


def check_output(path: str | Path, photo: Photo) -> None:
    """Refuse, before any long work, a target that `write_photo` could not write.

    Raises:
        PhotoError: unknown suffix, transparency into JPEG, a size that the format cannot hold, a target that is no
            ordinary file, read-only, or has a name that is too long, a folder that is missing, read-only or full.
    """
    path, height, width = Path(path), *photo.rgb_HWC.shape[:2]
    kind = check_target(path, width, height)
    if kind == "JPEG" and photo.alpha_HW is not None:
        raise PhotoError(f"{path}: JPEG cannot hold the photo's transparency; write to a .png, .tif or .webp instead")


def check_space(paths: Sequence[Path], photo: Photo) -> None:
    """Refuse, before any long work, targets in one folder for which its disk has no room.

    Raises:
        PhotoError: there is none.
    """
    if paths:
        check_room(paths[0], sum(_bytes_of(path, photo) for path in paths))


def losses(path: str | Path, photo: Photo) -> tuple[str, ...]:
    """What of a photo the format of a target cannot hold, in words; known before any work.

    Raises:
        PhotoError: unknown suffix.
    """
    kind = check_target(Path(path))
    _, lost = fitted(kind, photo.metadata, grey=photo.grey)
    deep = () if photo.depth == 8 or kind in _DEEP_FORMATS else ("its 16 bits, 8 are written",)
    return (*deep, *lost)


def write_photo(path: str | Path, photo: Photo, rgb_HWC: Pixels) -> None:
    """Write restored pixels with the nature of the photo that they came from; the target appears whole or not at all.

    Grey stays grey (the mean of the three channels); transparency and metadata are put back, but for what `losses`
    names. A 16-bit photo is written with 16 bits to PNG and TIFF and with 8 to JPEG and WebP. JPEG has quality 95
    without chroma subsampling, WebP quality 95 (and knows no grey: three equal channels). A file that is replaced
    keeps its permissions.

    Args:
        path: the target; its suffix chooses the format (`FORMATS`).
        photo: the input, as `read_photo` gave it.
        rgb_HWC: values outside [0, 1] are clipped.

    Raises:
        PhotoError: see `check_output`; also pixels of another shape or not finite, a full disk or another failure
            to write.
    """
    path = Path(path)
    check_output(path, photo)
    write_target(path, photo_bytes(path, photo, rgb_HWC))


def photo_bytes(name: str | Path, photo: Photo, rgb_HWC: Pixels) -> bytes:
    """The file that `write_photo` writes.

    Args:
        name: its suffix chooses the format; one of `FORMATS` that can hold the photo's transparency.
        photo, rgb_HWC: as of `write_photo`.

    Raises:
        PhotoError: pixels of another shape or not finite, or that the format cannot hold.
    """
    path = Path(name)
    if rgb_HWC.shape != photo.rgb_HWC.shape:
        raise PhotoError(f"{path}: the pixels have the shape {rgb_HWC.shape}, the photo {photo.rgb_HWC.shape}")
    return _encode(path, photo, rgb_HWC)


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


def read_file(path: Path, most: int = _MOST_BYTES) -> bytes:
    """The bytes of a photo's file, known by its first ones to be one.

    Raises:
        PhotoError: it cannot be read, is no image, has more than so many bytes, or memory lacks for it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            _check_head(head, path)
            length = path.stat().st_size
            check_memory(length, f"a file of {length / 1e6:.0f} MB")
            parts, read = [head], 0
            while part := file.read(_PART_BYTES):
                parts.append(part)
                read += len(part)
                if read > most:
                    raise PhotoError(f"{path}: more than the {size(most)} that are read; export it smaller")
            return b"".join(parts)
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: there is no such file; check the name") from error
    except IsADirectoryError as error:
        raise PhotoError(f"{path}: is a folder; give the name of one photo") from error
    except NotEnoughMemoryError as error:
        raise PhotoError(f"{path}: {error}") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    except ValueError as error:  # a name that no file can have
        if isinstance(error, PhotoError):
            raise
        raise PhotoError(f"{str(path)!r}: no file can have this name ({error}); check the name") from error


def _check_head(head: bytes, path: Path) -> None:
    """Refuse a file that is no image by its first bytes."""
    if not head:
        raise PhotoError(f"{path}: the file is empty; copy or export it again")
    if path.suffix.lower() in RAW_SUFFIXES and (head.startswith(_HEADS) or not _is_known(head)):
        raise PhotoError(f"{path}: {RAW}")
    if not _is_known(head):
        raise PhotoError(f"{path}: not a JPEG, PNG, TIFF or WebP image; convert it to one of them")


def _is_known(head: bytes) -> bool:
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return webp or head[:3] == b"\xff\xd8\xff" or head[:8] == png.HEAD or head[:4] in tiff.HEADS


def _decoder(data: bytes) -> Any:
    if data[:8] == png.HEAD:
        return png.decode
    return tiff.decode if data[:4] in tiff.HEADS else jpeg_webp.decode


def _as_photo(decoded: Decoded) -> Photo:
    samples_HWC = upright(decoded.samples_HWC, decoded.orientation)
    depth: Literal[8, 16] = 16 if samples_HWC.dtype == np.uint16 else 8
    height, width, channels = samples_HWC.shape
    top = np.float32(65535 if depth == 16 else 255)
    grey = channels <= 2
    rgb_HWC = np.empty((height, width, 3), np.float32)
    np.divide(samples_HWC[..., : 1 if grey else 3], top, out=rgb_HWC, dtype=np.float32)
    alpha_HW = np.divide(samples_HWC[..., -1], top, dtype=np.float32) if channels in (2, 4) else None
    return Photo(
        rgb_HWC=rgb_HWC,
        depth=depth,
        grey=grey,
        alpha_HW=None if alpha_HW is None else np.ascontiguousarray(alpha_HW),
        metadata=decoded.metadata,
        notes=decoded.notes,
    )


def _encode(path: Path, photo: Photo, rgb_HWC: Pixels) -> bytes:
    kind = FORMATS[path.suffix.lower()]
    depth = 16 if photo.depth == 16 and kind in _DEEP_FORMATS else 8
    metadata, _ = fitted(kind, photo.metadata, grey=photo.grey)
    samples_HWC = _samples(path, photo, rgb_HWC, depth)
    try:
        match kind:
            case "PNG":
                return png.encode(samples_HWC, metadata)
            case "TIFF":
                return tiff_writing.encode(samples_HWC, metadata)
            case _:
                return jpeg_webp.encode(kind, samples_HWC, metadata)
    except MemoryError as error:
        raise PhotoError(f"{path}: not enough memory to write this photo; make it smaller or free some") from error
    except Exception as error:  # encoders raise OSError, ValueError, struct.error, SystemError, ...
        pixels = f"{rgb_HWC.shape[1]}x{rgb_HWC.shape[0]} pixels"
        raise PhotoError(
            f"{path}: {pixels} cannot be stored as {kind} ({_reason(error)}); write to a .png or .tif"
        ) from error


def _samples(path: Path, photo: Photo, rgb_HWC: Pixels, depth: int) -> npt.NDArray[Any]:
    """Whole numbers as they are stored, C in 1 .. 4, made in bands of rows."""
    height, width, _ = rgb_HWC.shape
    top, kind = (65535, np.uint16) if depth == 16 else (255, np.uint8)
    colours = 1 if photo.grey else 3
    samples_HWC = np.empty((height, width, colours + (photo.alpha_HW is not None)), kind)
    for rows in bands(rgb_HWC.shape):
        band = rgb_HWC[rows].mean(axis=2, keepdims=True) if photo.grey else rgb_HWC[rows]
        if not np.isfinite(band).all():
            raise PhotoError(f"{path}: the restored pixels are not all finite numbers; the network is broken")
        samples_HWC[rows, :, :colours] = np.rint(np.clip(band, 0, 1) * top)
        if photo.alpha_HW is not None:
            samples_HWC[rows, :, colours] = np.rint(np.clip(photo.alpha_HW[rows], 0, 1) * top)
    return samples_HWC


def _bytes_of(path: Path, photo: Photo) -> int:
    """Bytes that a photo takes in a file at the least, by experience."""
    height, width, _ = photo.rgb_HWC.shape
    samples = (1 if photo.grey else 3) + (photo.alpha_HW is not None)
    kind = FORMATS.get(path.suffix.lower())
    share = 6 * photo.depth // 8 if kind in _DEEP_FORMATS else 2
    return int(height * width * samples * share // 24)


def _reason(error: Exception) -> str:
    """The first line of an error; decoders that speak of objects of the program say nothing to a user."""
    line = (str(error).splitlines() or [""])[0]
    return line if line and " object" not in line and " @" not in line else "its data cannot be decoded"
