"""The files of the degrade stage: packed training photos, and the evaluation set as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.common.errors import UserError
from tatsnet.data.degradation import Image
from tatsnet.data.pairs import PhotoPack
from tatsnet.photos.files import Photo as PhotoFile
from tatsnet.photos.files import PhotoError, read_photo, to_uint8, write_photo
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid

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


def save_pack(pack: PhotoPack, path: Path) -> None:
    """Write the training photos, uncompressed."""
    save_file({"pixels": pack.pixels, "shapes": pack.shapes}, path)


def load_pack(path: Path) -> PhotoPack:
    """Read what `save_pack` wrote.

    Raises:
        UserError: the file is missing or not whole.
    """
    try:
        data = load_file(path)
        return PhotoPack(data["pixels"], data["shapes"])
    except Exception as error:
        raise UserError(f"{path} cannot be read ({error}): {_AGAIN}") from error


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
