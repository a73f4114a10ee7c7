"""`tatsnet restore`: one photo, one task vector."""

from __future__ import annotations

import time
from pathlib import Path

from tatsnet.cli.errors import shown
from tatsnet.cli.work import check_targets, load_model, open_photo, say_losses, user_errors
from tatsnet.network.tasks import AXES, Task
from tatsnet.photos.files import write_photo


def restore(photo_path: Path, task: Task, output: Path, model: Path | None, runtime: str) -> None:
    """Restore a photo into a file and say so, and by which runtime.

    Raises:
        CommandError: the photo, the model or the output is not usable.
    """
    with user_errors(photo_path):
        photo = open_photo(photo_path)
        check_targets([output], photo_path, photo)
        say_losses(output, photo)
        restorer = load_model(model, runtime)
        started = time.perf_counter()
        restored_HWC = restorer.restore(photo.rgb_HWC, task)
        seconds = time.perf_counter() - started
        write_photo(output, photo, restored_HWC)
    height, width = restored_HWC.shape[:2]
    levels = ", ".join(f"{axis} {level:g}" for axis, level in zip(AXES, task, strict=True))
    print(f"{shown(output)}: {width}x{height}, {levels}, {seconds:.1f} s with {restorer.runtime}")
