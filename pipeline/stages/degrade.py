"""Stage degrade: the training photos in one file, and 26 fixed degradations of the validation and test photos."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import PIL.Image

from pipeline.common.datasets import read_rgb, save_eval_photo, write_pack
from pipeline.common.errors import UserError
from pipeline.common.files import fresh_folder, verify_manifest
from pipeline.common.layout import CLEAN, EVAL, TRAIN
from pipeline.common.progress import say
from pipeline.config import EvalConfig
from pipeline.stages.runner import Context, Stage, main
from tatsnet.data.degradation import Image
from tatsnet.photos.files import list_images
from tatsnet.quality.evaluation import EvalPhoto, make_eval_photos
from tatsnet.system.progress import Ticker


def spread(count: int, photos: int) -> list[int]:
    """`count` crops over so many photos as evenly as can be, the first ones getting one more; 0 gives each one."""
    return [count // photos + (index < count % photos) for index in range(photos)] if count else [1] * photos


def cut(path: Path, clean: Image, crops: int, config: EvalConfig, seed: int) -> list[EvalPhoto]:
    """The evaluation crops of one photo.

    Raises:
        UserError: the photo is smaller than a crop.
    """
    try:
        return make_eval_photos(path.stem, clean, config.crop, crops, seed) if crops else []
    except ValueError as error:
        raise UserError(f"{path}: {error}; use a smaller eval.crop in params.yaml, or larger photos") from error


def make_eval(split: str, crops: int, source: Path, target: Path, config: EvalConfig) -> int:
    """Degrade the photos of a split into `target/split`; how many crops there are."""
    paths = list_images(source / split)
    ticker = Ticker(f"degrade {split}", len(paths), say)
    made = 0
    for index, (path, share) in enumerate(zip(paths, spread(crops, len(paths)), strict=True)):
        for photo in cut(path, read_rgb(path), share, config, config.seed + index):
            save_eval_photo(photo, target / split)
            made += 1
        ticker.at(index + 1)
    return made


def pack(source: Path, target: Path, patch: int) -> int:
    """Pack the training photos; how many there are.

    Raises:
        UserError: a photo is smaller than a training patch, or the disk has no room for them.
    """
    paths = list_images(source / "train")
    check_room(target, paths)
    write_pack(_each(paths, patch), target)
    return len(paths)


def _each(paths: list[Path], patch: int) -> Iterator[Image]:
    ticker = Ticker("degrade train", len(paths), say)
    for index, path in enumerate(paths, 1):
        photo = read_rgb(path)
        if min(photo.shape[:2]) < patch:
            raise UserError(
                f"{path} is smaller than a training patch ({patch} pixels): take it out, or lower train.patch"
            )
        yield photo
        ticker.at(index)


def check_room(target: Path, paths: Iterable[Path]) -> None:
    """Refuse to pack photos for which the disk has no room.

    Raises:
        UserError: there is none.
    """
    needed = 0
    for path in paths:
        with suppress(OSError, ValueError, PIL.Image.DecompressionBombError), PIL.Image.open(path) as photo:
            needed += 3 * photo.width * photo.height  # what cannot be opened is told when it is read
    if needed > (free := shutil.disk_usage(target).free):
        raise UserError(
            f"the packed training photos take {needed / 2**30:.1f} GiB, the disk of {target.parent} has "
            f"{free / 2**30:.1f} GiB left: free some space, or take fewer photos"
        )


def work(context: Context) -> None:
    """Write `data/train` and `data/eval`."""
    source, config = context.root / CLEAN, context.params.eval
    verify_manifest(source, "run the stage again: dvc repro --force download")
    with fresh_folder(context.root / TRAIN) as train, fresh_folder(context.root / EVAL) as evaluation:
        photos = pack(source, train, context.params.train.patch)
        valid = make_eval("valid", config.valid_crops, source, evaluation, config)
        test = make_eval("test", config.test_crops, source, evaluation, config)
    context.run.metrics({"train_photos": photos, "valid_crops": valid, "test_crops": test})


STAGE = Stage(
    name="degrade",
    summary="packs the training photos and makes the fixed evaluation set",
    upstream=("download",),
    sections=lambda params: {"eval": params.eval, "train.patch": params.train.patch},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
