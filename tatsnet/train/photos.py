"""Photos of a folder for a training: to learn from, and some kept aside to measure by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tatsnet.data.degradation import Image
from tatsnet.data.pairs import PhotoPack
from tatsnet.photos.files import list_images, read_photo, to_uint8
from tatsnet.quality.evaluation import EvalPhoto, make_eval_photos

VALID_CROP = 96
"""Side of a validation crop, pixels."""


def read_photos(folder: Path, patch: int, tell: Callable[[str], None]) -> list[tuple[str, Image]]:
    """Names and pixels of the photos of a folder that hold a patch, by name; smaller ones are left out and told.

    Raises:
        ValueError: there is none, or one cannot be read.
        OSError: the folder cannot be read.
    """
    photos = []
    paths = list_images(folder)
    with ThreadPoolExecutor() as pool:  # decoders let go of the interpreter
        images = list(pool.map(_read, paths))
    for path, image in zip(paths, images, strict=True):
        if min(image.shape[:2]) < patch:
            tell(f"{path.name} is left out: {image.shape[1]}x{image.shape[0]} holds no patch of {patch} pixels")
        else:
            photos.append((path.name, image))
    if not photos:
        raise ValueError(f"{folder} holds no photo of at least {patch}x{patch} pixels")
    return photos


def _read(path: Path) -> Image:
    pixels = read_photo(path).rgb_HWC
    return pixels if pixels.dtype == np.uint8 else to_uint8(pixels)  # type: ignore[return-value]


def split(photos: Sequence[tuple[str, Image]], valid: int, seed: int) -> tuple[PhotoPack, tuple[EvalPhoto, ...]]:
    """The training pack, and a crop of each of `valid` photos that are kept out of it, spread over the list.

    Raises:
        ValueError: nothing would be left to train on.
    """
    if valid >= len(photos):
        raise ValueError(f"{valid} of {len(photos)} photos for validation leave none to train on")
    aside = {round((index + 0.5) * len(photos) / valid) for index in range(valid)} if valid else set()
    pack = PhotoPack.of([image for index, (_, image) in enumerate(photos) if index not in aside])
    kept = [
        crop
        for index in sorted(aside)
        for crop in make_eval_photos(*photos[index], min(VALID_CROP, *photos[index][1].shape[:2]), 1, seed)
    ]
    return pack, tuple(kept)
