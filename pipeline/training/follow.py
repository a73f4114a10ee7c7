"""A training seen from a stage: its device, its run, a warning in time, its checkpoint's place."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.common.errors import UserError
from pipeline.common.keys import code_version, key_of
from pipeline.common.layout import TRAININGS, home
from pipeline.common.progress import say
from tatsnet.method.engine import pick_device
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import Diverged, Progress, Training
from tatsnet.train.following import follow
from tatsnet.train.kept import Checkpoint, Curve

_ABANDONED_S = 7 * 86400.0


def device_of(config: TrainConfig) -> torch.device:
    """The device of a training.

    Raises:
        UserError: CUDA is asked for and not there.
    """
    try:
        return pick_device(config.device)
    except ValueError as error:
        raise UserError(f"params.yaml: {error}") from error


def training_key(inputs: Mapping[str, Any]) -> str:
    """The key of a training: another one for other inputs or other code."""
    return key_of({**inputs, "code": code_version()})


def checkpoint_path(root: Path, stage: str, key: str) -> Path:
    """Where a stage's training leaves its checkpoint on this machine."""
    return home(root) / TRAININGS / f"{stage}-{key}"


def forget(root: Path, stage: str, own: Collection[Path]) -> None:
    """Remove a stage's checkpoints, whose work is done, and those that nobody has gone on with for a week.

    Others may be of an experiment that works in a copy of the project at the same time.

    Args:
        own: of the work that is done, by `checkpoint_path`.
    """
    for path in (home(root) / TRAININGS).glob(f"{stage}-*"):
        if path in own or time.time() - path.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)


def run_to_end(
    label: str,
    training: Training,
    iterations: int,
    checkpoint: Checkpoint,
    watch: Callable[[Progress], None] | None = None,
) -> Curve:
    """Run a training to its end, as `tatsnet.train.following.follow` does; its curve.

    Raises:
        UserError: the loss is not finite.
    """
    try:
        follow(label, training, iterations, training.state, checkpoint, say, watch=watch)
    except Diverged as error:
        raise UserError(f"{label}: {error}; lower train.lr or train.clip in params.yaml") from error
    return checkpoint.curve


def warn_if_useless(label: str, psnr_db: float, input_psnr_db: float) -> None:
    """Tell a training that has collapsed or learnt nothing: it restores no better than its input."""
    if not psnr_db > input_psnr_db:
        say(
            f"{label}  WARNING restores no better than its input: {psnr_db:.2f} dB, input {input_psnr_db:.2f} dB; "
            "lower train.lr or train longer (params.yaml)"
        )
