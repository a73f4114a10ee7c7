"""What the commands on photos have in common: the model, the photo, targets that may not be the photo itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tatsnet.cli.errors import CommandError
from tatsnet.cli.registered import model_folder
from tatsnet.photos.files import Photo, PhotoError, check_output
from tatsnet.restorer import Restorer

DEFAULT_MODEL = Path("models/pruned/knee")


@contextmanager
def user_errors(photo: Path) -> Iterator[None]:
    """Turn what the user can mend into a `CommandError`: a photo, a full disk, too little memory.

    Args:
        photo: named where the memory does not suffice.
    """
    try:
        yield
    except PhotoError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename or photo}: {error.strerror or error}") from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise CommandError(f"{photo}: not enough memory; make the photo smaller or free some memory") from error


def load_model(folder: Path | None, runtime: str) -> Restorer:
    """The network in a folder or at `models:/NAME@ALIAS`, or the one that the pipeline extracted in this folder.

    Raises:
        CommandError: there is none, it is damaged, or the runtime cannot be taken.
    """
    if folder is None and not DEFAULT_MODEL.is_dir():
        raise CommandError(f"there is no {DEFAULT_MODEL} here; run `make repro` to find a network, or pass --model DIR")
    try:
        return Restorer.load(model_folder(folder or DEFAULT_MODEL), runtime=runtime)
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error


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
