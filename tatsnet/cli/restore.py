"""`tatsnet restore`: photos, one task vector for all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tatsnet.cli.errors import CommandError, shown
from tatsnet.cli.restore_plan import Job, plan
from tatsnet.cli.work import check_targets, load_model, open_photo, say_losses, user_errors
from tatsnet.network.tasks import AXES, Task
from tatsnet.photos.files import Photo, Pixels, write_photo
from tatsnet.restorer import Restorer

GAP = 8
"""White columns between the photo and its restoration in a comparison."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to restore.

    Attributes:
        sources: photos, folders of photos, wildcard patterns.
        task: for every photo.
        even: the task's numbers are positions of the network's even sliders.
        output: a file for one photo, or a folder; None replaces each photo by its restoration.
        suffix: of the written files, such as `.png`; None keeps each photo's own.
        compare: write the photo beside its restoration, too.
        model: see `load_model`.
        runtime: what runs the network.
    """

    sources: tuple[str, ...]
    task: Task
    even: bool
    output: Path | None
    suffix: str | None
    compare: bool
    model: Path | None
    runtime: str


def restore(wanted: Wanted) -> int:
    """Restore every photo, say what was made, and go on where a photo cannot be restored.

    Returns:
        0, or 2 where one of several photos could not be restored; what was wrong is on stderr then.

    Raises:
        CommandError: nothing to restore, a model or an output that is not usable, or the only photo is not.
    """
    jobs = plan(wanted.sources, wanted.output, wanted.suffix, compare=wanted.compare)
    if wanted.output is None or jobs[0].target != wanted.output:
        return _restore_several(wanted, jobs)
    print(_restore_one(wanted, jobs[0], None))
    return 0


def _restore_several(wanted: Wanted, jobs: Sequence[Job]) -> int:
    restorer = load_model(wanted.model, wanted.runtime)
    started, failed = time.perf_counter(), 0
    if wanted.output is not None:
        _make_folder(wanted.output)
    with tqdm(jobs, unit="photo", file=sys.stderr, disable=None) as progress:
        for job in progress:
            progress.set_postfix_str(shown(job.photo.name))
            try:
                line = _restore_one(wanted, job, restorer)
                tqdm.write(line, file=sys.stdout)
            except CommandError as error:
                failed += 1
                tqdm.write(f"tatsnet: {shown(' '.join(str(error).split()))}", file=sys.stderr)
    seconds = time.perf_counter() - started
    where = f" into {shown(wanted.output)}" if wanted.output is not None else ", in place"
    print(f"{len(jobs) - failed} of {len(jobs)} photos restored{where}, {seconds:.1f} s with {restorer.runtime}")
    if failed:
        print(f"tatsnet: {failed} of {len(jobs)} photos not restored; see the messages above", file=sys.stderr)
    return 2 if failed else 0


def _restore_one(wanted: Wanted, job: Job, restorer: Restorer | None) -> str:
    """Restore a photo and tell what was made; the network is loaded after the photo where there is none yet."""
    with user_errors(job.photo):
        photo = open_photo(job.photo)
        target = job.target_for(photo)
        targets = [target, *job.comparisons(target)]
        check_targets(targets[1:] if job.in_place else targets, job.photo, photo)
        say_losses(target, photo)
        restorer = restorer or load_model(wanted.model, wanted.runtime)
        started = time.perf_counter()
        task = restorer.sliders.task(wanted.task) if wanted.even else wanted.task
        restored_HWC = restorer.restore(photo.rgb_HWC, task)
        seconds = time.perf_counter() - started
        for path in targets[1:]:
            both_HWC = side_by_side(photo.rgb_HWC, restored_HWC)
            write_photo(path, Photo(rgb_HWC=both_HWC, grey=photo.grey, metadata=photo.metadata), both_HWC)
        write_photo(target, photo, restored_HWC)
    height, width = restored_HWC.shape[:2]
    levels = ", ".join(f"{axis} {level:.3g}" for axis, level in zip(AXES, task, strict=True))
    beside = "".join(f" and {shown(path.name)}" for path in targets[1:])
    return f"{shown(target)}{beside}: {width}x{height}, {levels}, {seconds:.1f} s with {restorer.runtime}"


def side_by_side(before_HWC: Pixels, after_HWC: Pixels) -> Pixels:
    """The photo at the left, its restoration at the right, white between them."""
    gap_HWC = np.ones((before_HWC.shape[0], GAP, 3), np.float32)
    return np.concatenate([before_HWC, gap_HWC, after_HWC], axis=1, dtype=np.float32)


def _make_folder(folder: Path) -> None:
    with user_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise CommandError(f"{folder}: is a file, and several photos need a folder; give one with -o")
        folder.mkdir(parents=True, exist_ok=True)
