"""What the commands on photos have in common: the model, the photo, targets that may not be the photo itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tatsnet.cli.errors import CommandError, shown, told
from tatsnet.cli.registered import model_folder
from tatsnet.photos.files import Photo, check_output, check_space, losses, read_photo
from tatsnet.restorer import Restorer
from tatsnet.shipped import DEFAULT, shipped

DEFAULT_MODEL = Path("models/pruned/knee")

COMPILING = "compiling the kernels for this processor; once done they are kept, and the next start is quick"
COMPILING_AFTER = 3.0
"""Seconds: with kernels that are compiled already, a network is loaded sooner."""


@contextmanager
def user_errors(place: Path | None) -> Iterator[None]:
    """Turn what the user can mend into a `CommandError`: a photo, a full disk, too little memory.

    Args:
        place: a photo or another file, named where the error names none.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        message = told(error, place)
        if message is None:
            raise
        raise CommandError(message) from error


def load_model(folder: Path | None, runtime: str) -> Restorer:
    """A network by its folder, by the name of a shipped one, or by `models:/NAME@ALIAS`, and tell which it is.

    Without one: that which the pipeline extracted in this folder, else the shipped default.

    Raises:
        CommandError: there is none, it is damaged, or the runtime cannot be taken.
    """
    wanted = folder or (DEFAULT_MODEL if DEFAULT_MODEL.is_dir() else Path(DEFAULT))
    if not wanted.exists() and str(wanted) in shipped():
        say(f"network: {wanted}, which comes with tatsnet (`tatsnet models {wanted}`)")
        wanted = shipped()[str(wanted)]
    elif folder is None:
        say(f"network: {wanted}")
    with user_errors(wanted), told_if_slow(COMPILING, COMPILING_AFTER):
        return Restorer.load(model_folder(wanted), runtime=runtime)


@contextmanager
def told_if_slow(note: str, seconds: float) -> Iterator[None]:
    """Print a note on the screen if the block takes longer than so many seconds; none where stderr is a file."""
    timer = threading.Timer(seconds, say, [note])
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def open_photo(path: Path) -> Photo:
    """Read a photo, and say in one line what was missing in its file.

    Raises:
        PhotoError: see `read_photo`.
    """
    photo = read_photo(path)
    if photo.notes:
        say(f"{path}: read, but {', '.join(photo.notes)}")
    return photo


def check_targets(targets: Sequence[Path], photo_path: Path, photo: Photo) -> None:
    """Refuse, before any long work, targets that could not be written or would overwrite the photo itself.

    Raises:
        CommandError: one would overwrite the photo.
        PhotoError: one could not be written.
    """
    for target in targets:
        check_output(target, photo)
        if target.exists() and target.samefile(photo_path):
            raise CommandError(f"{target} is the photo itself; give another name with -o")
    check_space(targets, photo)


def say_losses(target: Path, photo: Photo) -> None:
    """Say in one line, before any long work, what of the photo the target's format cannot hold."""
    lost = losses(target, photo)
    if lost:
        say(f"{target.name}: {target.suffix} cannot hold {', '.join(lost)}")


def say(note: str) -> None:
    """A note on stderr."""
    print(f"tatsnet: note: {shown(note)}", file=sys.stderr)
