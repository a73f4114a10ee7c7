"""A training as curves in the tracker while it runs: loss, learning rate and the loss's terms over iterations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.tracking import Run, open_tracker
from tatsnet.method.training import Progress

POINTS = 200
"""Of one curve, at the most."""

Watch = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Where a training in another process is to show itself; plain values, so that it can be sent there.

    Args:
        root: the project folder.
        experiment: its name.
        run_id: of the run.
        name: before the names of its figures, as `finetune_0006`.
    """

    root: Path
    experiment: str
    run_id: str
    name: str

    def watch(self, iterations: int) -> Watch:
        """Opens the tracker in this process."""
        return curve_of(open_tracker(self.experiment, self.root).run(self.run_id), self.name, iterations)


def curve_of(run: Run, name: str, iterations: int) -> Watch:
    """Takes the reports of a training of so many iterations, and records as many of them as a curve needs."""
    every = max(1, iterations // POINTS)
    last = -every

    def watch(progress: Progress) -> None:
        nonlocal last
        if progress.iteration - last < every and progress.iteration < progress.iterations:
            return
        last = progress.iteration
        figures = {"loss": progress.loss, "lr": progress.lr, **progress.terms}
        run.metrics({f"{name}_{figure}": value for figure, value in figures.items()}, progress.iteration)

    return watch
