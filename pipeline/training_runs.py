"""A training seen from a stage: its device, progress lines, a curve, a warning in time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pipeline.errors import UserError
from pipeline.progress import Ticker
from tatsnet.settings import TrainConfig
from tatsnet.training import Diverged, Progress, pick_device

Curve = list[dict[str, float | int | str]]


def device_of(config: TrainConfig) -> torch.device:
    """The device of a training.

    Raises:
        UserError: CUDA is asked for and not there.
    """
    try:
        return pick_device(config.device)
    except ValueError as error:
        raise UserError(f"params.yaml: {error}") from error


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
