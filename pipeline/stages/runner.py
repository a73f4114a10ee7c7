"""What every stage's main does: read the parameters, open the run, do the work, end with one clear line."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.common.files import read_json
from pipeline.common.layout import CLEAN
from pipeline.common.progress import say
from pipeline.common.told import DONE, told
from pipeline.config import PARAMS_FILE, Params, load
from pipeline.tracking import Run, Tracker, open_tracker, stage_run
from pipeline.training.curves import Shown
from tatsnet.system.allocator import keep_freed_memory
from tatsnet.system.progress import duration


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the work of a stage gets: the project folder, the parameters, where it is recorded."""

    root: Path
    params: Params
    tracker: Tracker
    run: Run

    def shown(self, name: str) -> Shown | None:
        """Where a training of this stage records its curve; None where no run is recorded.

        Args:
            name: before the names of its figures.
        """
        if not self.run.id:
            return None
        return Shown(root=self.root, experiment=self.params.tracking.experiment, run_id=self.run.id, name=name)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage.

    Args:
        name: as in `dvc.yaml`.
        summary: one sentence for `--help`.
        upstream: the stages whose outputs it reads.
        sections: picks out of the parameters what its run records.
        work: does it.
        key: identity of a piece of work that several processes may resume one after the other: they share a run.
    """

    name: str
    summary: str
    upstream: Sequence[str]
    sections: Callable[[Params], Mapping[str, Any]]
    work: Callable[[Context], None]
    key: Callable[[Path, Params], str] | None = None


def main(stage: Stage, argv: Sequence[str] | None = None) -> int:
    """Run a stage in the current folder, as the command line asks or as `argv` does.

    Returns:
        The exit status of `told`.
    """
    if argv is None:
        keep_freed_memory()
    return look(stage.name, stage.summary, partial(_run, stage), argv)


def look(name: str, summary: str, work: Callable[[Path, Params], None], argv: Sequence[str] | None = None) -> int:
    """Run the work of a stage that records no run of its own: the project's folder and the parameters are handed to it.

    Returns:
        The exit status of `told`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.stages.{name}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"Example: dvc repro {name}    (runs what it needs before it, too)",
    )
    parser.add_argument("--params", type=Path, default=PARAMS_FILE, help="parameter file (default: %(default)s)")
    arguments = parser.parse_args(argv)

    def run() -> int:
        with _ended_as_by_ctrl_c():
            work(Path.cwd(), load(arguments.params))
        return DONE

    return told(name, run, interrupted="interrupted; nothing half-written is left, `dvc repro` goes on from here")


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, by which machines and containers are taken away, ends the block as Ctrl-C does; a second is ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt("SIGTERM")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(stage: Stage, root: Path, params: Params) -> None:
    say(f"== {stage.name}: {stage.summary}")
    manifest = root / CLEAN / "manifest.json"
    dataset = read_json(manifest).get("dataset_sha256") if stage.upstream and manifest.exists() else None
    tracker = open_tracker(params.tracking.experiment, root)
    recorded = stage.sections(params)
    key = f"{stage.name}.{stage.key(root, params)}" if stage.key else None
    with stage_run(
        tracker, stage.name, recorded, root=root, upstream=stage.upstream, dataset_sha256=dataset, key=key
    ) as run:
        began = os.times().elapsed
        stage.work(Context(root=root, params=params, tracker=tracker, run=run))
    say(f"== {stage.name}: done in {duration(os.times().elapsed - began)}")
