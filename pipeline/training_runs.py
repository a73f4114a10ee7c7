"""A training seen from a stage: progress lines, a curve, a warning in time."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import UserError
from pipeline.progress import Ticker
from tatsnet.training import Diverged, Progress

Curve = list[dict[str, float | int | str]]


def follow(label: str, steps: Iterator[Progress], iterations: int) -> Curve:
    """Run a training to its end; the curve of its reports.

    Raises:
        UserError: the loss is not finite.
    """
    ticker = Ticker(label, iterations)
    curve: Curve = []
    recent: list[float] = []
    try:
        for progress in steps:
            recent = [*recent[-7:], progress.loss]
            curve.append({"iteration": progress.iteration, "phase": progress.phase, **progress.terms})
            ticker.at(progress.iteration, f"loss {sum(recent) / len(recent):.4f}")
    except Diverged as error:
        raise UserError(f"{label}: {error}; lower train.lr or train.clip in params.yaml") from error
    return curve
