"""A training run to its end: lines that tell how far it is, its curve, its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tatsnet.method.training import Progress
from tatsnet.system.files import Tensors
from tatsnet.system.progress import Ticker
from tatsnet.train.kept import Checkpoint

SMOOTHED = 8
"""Reports whose mean loss is shown."""


def follow(
    label: str,
    steps: Iterator[Progress],
    iterations: int,
    state: Callable[[], Tensors],
    checkpoint: Checkpoint,
    tell: Callable[[str], None],
    *,
    watch: Callable[[Progress], None] | None = None,
    until: float = float("inf"),
) -> bool:
    """Run a training and leave a checkpoint on the way and where it ends; its curve is in the checkpoint.

    Args:
        label: of the training, in every line.
        steps: the training.
        state: of it, as it is now.
        checkpoint: that it has been resumed from.
        tell: shows a line to the user.
        watch: is shown every report.
        until: on the monotonic clock; the training is suspended then.

    Returns:
        Whether it came to its end.

    Raises:
        Diverged: the loss is not finite.
    """
    ticker = Ticker(label, iterations, tell, start=checkpoint.iteration)
    if checkpoint.iteration:
        tell(f"{label}  resumes at iteration {checkpoint.iteration}")
    recent: list[float] = []
    for progress in steps:
        recent = [*recent[1 - SMOOTHED :], progress.loss]
        if watch:
            watch(progress)
        checkpoint.curve.append({"iteration": progress.iteration, "phase": progress.phase, **progress.terms})
        ticker.at(progress.iteration, f"loss {sum(recent) / len(recent):.4f}")
        if time.monotonic() >= until and progress.iteration < iterations:
            checkpoint.keep(state())
            tell(f"{label}  suspended at iteration {progress.iteration}: the same command resumes it")
            return False
        checkpoint.visit(state)
    checkpoint.keep(state())
    return True
