"""`tatsnet effects`: one photo in a grid of ways, and a contact sheet."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tatsnet.cli.contact import ContactSheet
from tatsnet.cli.errors import CommandError, shown
from tatsnet.cli.work import check_targets, load_model, open_photo, say_losses, user_errors
from tatsnet.network.tasks import AXES, Task, check_task
from tatsnet.photos.files import FORMATS, Metadata, Photo, write_photo

CONTACT = "contact.jpg"
MARK = b"contact sheet of tatsnet effects"
"""The comment in it, by which it is known again."""


def effects(photo_path: Path, levels: Sequence[float], folder: Path, model: Path | None, runtime: str) -> None:
    """Restore a photo by every combination of levels into a folder, show progress, and say what was made.

    Each file appears whole or not at all, the contact sheet last.

    Raises:
        CommandError: the photo, the model or the folder is not usable.
    """
    tasks: list[Task] = [check_task(task) for task in itertools.product(levels, repeat=len(AXES))]
    with user_errors(photo_path):
        photo = open_photo(photo_path)
        restorer = load_model(model, runtime)
        targets = [folder / f"{effect_name(task)}{_suffix(photo_path, photo)}" for task in tasks]
        _make_folder(folder)
        check_targets(targets, photo_path, photo)
        say_losses(targets[0], photo)
        check_targets([folder / CONTACT], photo_path, Photo(rgb_HWC=photo.rgb_HWC))
        _check_contact(folder / CONTACT)
        started = time.perf_counter()
        restored = restorer.restore_each(photo.rgb_HWC, tasks)
        sheet = ContactSheet(photo.rgb_HWC, levels, photo_path.name)
        made = tqdm(restored, total=len(tasks), unit="effect", file=sys.stderr, disable=None)
        for task, target, restored_HWC in zip(tasks, targets, made, strict=True):
            sheet.add(task, restored_HWC)
            write_photo(target, photo, restored_HWC)
        picture_HWC = sheet.picture()
        mark = Metadata(comment=MARK)
        write_photo(folder / CONTACT, Photo(rgb_HWC=picture_HWC, metadata=mark), picture_HWC)
        seconds = time.perf_counter() - started
    print(f"{shown(folder)}: {len(tasks)} effects and {CONTACT}, {seconds:.1f} s with {restorer.runtime}")


def effect_name(task: Task) -> str:
    """A file name's stem: `deblur0.5_denoise0_dejpeg1`."""
    return "_".join(f"{axis}{_digits(level)}" for axis, level in zip(AXES, task, strict=True))


def _digits(level: float) -> str:
    """As few digits as tell the level from every other one."""
    short = f"{level:g}"
    return short if float(short) == level else repr(level)


def _suffix(photo_path: Path, photo: Photo) -> str:
    """The photo's own format, or PNG where its name tells none or one that could not hold its transparency."""
    suffix = photo_path.suffix.lower()
    return suffix if suffix in FORMATS and not (photo.alpha_HW is not None and FORMATS[suffix] == "JPEG") else ".png"


def _check_contact(path: Path) -> None:
    """The sheet's name is not rare: a picture of that name which is no sheet stays."""
    if path.exists():
        with path.open("rb") as file:
            if MARK not in file.read(2**16):
                raise CommandError(f"{path} is there and was not made by this command; give another folder with -o")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise CommandError(f"{folder}: is a file, or lies below one; give a folder with -o") from error
    except OSError as error:
        raise CommandError(f"{folder}: cannot be made ({error.strerror}); give another folder with -o") from error
