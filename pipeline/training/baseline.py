"""The dense baseline that picks are compared with: what trains it, and where there is a cluster, when."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.cluster.beside import end_with
from pipeline.common.datasets import pack_digest
from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file
from pipeline.common.layout import DENSE, SUPERNET, TRAIN, WEIGHTS
from pipeline.common.progress import say
from pipeline.config import PARAMS_FILE, Params, load
from pipeline.training.curves import Shown
from pipeline.training.follow import training_key
from pipeline.training.work import Job
from tatsnet.method.objective import Variant

STAGE = "finetune"
"""Whose trainings these are, in the store."""


def tuning_job(
    root: Path, params: Params, label: str, source: Path, iterations: int, variant: Variant | None, shown: Shown | None
) -> Job:
    """A network that is trained on with the budget of `finetune`.

    Args:
        source: its folder.
        variant: of a found network; None is the dense one.
    """
    inputs = {
        "train": params.train,
        "iterations": iterations,
        "photos": pack_digest(root / TRAIN),
        "variant": variant and variant.value,
        "weights": sha256_file(source / WEIGHTS),
    }
    return Job(
        label=f"finetune {label}",
        key=training_key(inputs),
        begin=(source / WEIGHTS).read_bytes(),
        variant=variant,
        iterations=iterations,
        config=params.train,
        shown=shown,
    )


def baseline_job(root: Path, params: Params, shown: Shown | None) -> Job:
    """The dense network, which gets what a pick gets in all: a trial's iterations and those of `finetune`."""
    iterations = params.search.schedule.iterations + params.finetune.iterations
    return tuning_job(root, params, DENSE, root / SUPERNET, iterations, None, shown)


def main(argv: Sequence[str]) -> int:
    """Train it on the cluster while a search runs there: it needs nothing but the super network.

    What is not done when the search ends, `finetune` resumes.

    Args:
        argv: the id of the search's process; a file to make when it has a place; the experiment and the run that the
            curve is recorded in, if there is one.
    """
    from pipeline.training.on_cluster import run_on_cluster  # imports Ray

    parent, placed, *run = argv
    end_with(int(parent))
    root = Path.cwd()
    params = load(root / PARAMS_FILE)
    shown = Shown(root=root, experiment=run[0], run_id=run[1], name=f"train_{DENSE}") if run else None
    job = baseline_job(root, params, shown)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_on_cluster(root, STAGE, {Path(folder): job}, params.search.resources, Path(placed).touch)
        except UserError as error:  # it is not needed yet, and whoever needs it tries again, and tells
            say(f"{job.label}  is left to the stage finetune: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
