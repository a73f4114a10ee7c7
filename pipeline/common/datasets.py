"""The files of the degrade stage: packed training photos, and the evaluation set as PNG files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json
from tatsnet.data.degradation import Image
from tatsnet.data.pairs import PhotoPack
from tatsnet.photos.files import Photo as PhotoFile
from tatsnet.photos.files import PhotoError, read_photo, to_uint8, write_photo
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid

PIXELS, SHAPES = "pixels.u8", "shapes.json"
"""The files of a pack."""

_AGAIN = "run the stage again: dvc repro --force degrade"


def read_rgb(path: Path) -> Image:
    """A photo as 8-bit RGB, H x W x 3, whatever its own nature.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return to_uint8(read_photo(path).rgb_HWC)
    except PhotoError as error:
        raise UserError(str(error)) from error


def write_pack(photos: Iterable[Image], folder: Path) -> None:
    """Write the training photos into a folder, uncompressed, one after the other: none is kept in memory.

    pixels.u8   all photos' RGB pixels
    shapes.json height and width of each; the sha256 of the pixels
    """
    digest, shapes = hashlib.sha256(), []
    with (folder / PIXELS).open("wb") as file:
        for photo in photos:
            shapes.append(photo.shape[:2])
            data = np.ascontiguousarray(photo).data
            digest.update(data)
            file.write(data)
    atomic_write_json(folder / SHAPES, {"sha256": digest.hexdigest(), "shapes": shapes})


def load_pack(folder: Path) -> PhotoPack:
    """Map what `write_pack` wrote into memory: what is not looked at is not read, and processes share what is.

    Raises:
        UserError: a file is missing or not whole.
    """
    try:
        shapes = np.array(read_json(folder / SHAPES, _AGAIN)["shapes"], np.int64).reshape(-1, 2)
        pixels = np.memmap(folder / PIXELS, np.uint8, "c")
        if len(pixels) != 3 * shapes.prod(axis=1).sum():
            raise ValueError(f"{len(pixels)} bytes are not those of its photos")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / PIXELS} cannot be read ({error}): {_AGAIN}") from error
    return PhotoPack(pixels, shapes)


def pack_digest(folder: Path) -> str:
    """The sha256 of the pixels of a pack, as it was written.

    Raises:
        UserError: the pack's description is missing or damaged.
    """
    return str(read_json(folder / SHAPES, _AGAIN)["sha256"])


def save_eval_photo(photo: EvalPhoto, folder: Path) -> None:
    """Write a photo's clean and 26 degraded versions as PNG files into `folder/<name>/`."""
    place = folder / photo.name
    place.mkdir(parents=True)
    names = ["clean", *(degradation.name for degradation in degraded_grid())]
    for name, image in zip(names, (photo.clean, *photo.degraded), strict=True):
        pixels = np.divide(image, 255, dtype=np.float32)
        write_photo(place / f"{name}.png", PhotoFile(rgb_HWC=pixels), pixels)


def load_eval_photos(folder: Path) -> list[EvalPhoto]:
    """Read what `save_eval_photo` wrote, sorted by name.

    Raises:
        UserError: the set is missing, or a file of it.
    """
    places = sorted(place for place in folder.glob("*") if place.is_dir())
    if not places:
        raise UserError(f"{folder} holds no evaluation photos: {_AGAIN}")
    try:
        return [
            EvalPhoto(
                name=place.name,
                clean=read_rgb(place / "clean.png"),
                degraded=tuple(read_rgb(place / f"{degradation.name}.png") for degradation in degraded_grid()),
            )
            for place in places
        ]
    except UserError as error:
        raise UserError(f"{str(error).partition(';')[0]}; {_AGAIN}") from error
