"""A training seen from a stage: its device, progress lines, a curve, a warning in time, a checkpoint every minute."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.common.errors import UserError
from pipeline.common.keys import code_version, key_of
from pipeline.common.layout import TRAININGS, home
from pipeline.common.progress import Ticker, say
from tatsnet.method.engine import pick_device
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import ITERATION, Diverged, Progress
from tatsnet.system.files import Tensors, pack, unpack
from tatsnet.system.replacing import write_atomically

Curve = list[dict[str, float | int | str]]
EVERY_S = 60.0
"""Seconds between two checkpoints."""

_CURVE = "curve"
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


def checkpoint_path(root: Path, stage: str, inputs: Mapping[str, Any]) -> Path:
    """Where a stage's training leaves its checkpoint: another place for other inputs or other code."""
    return home(root) / TRAININGS / f"{stage}-{key_of({**inputs, 'code': code_version()})}.safetensors"


def forget(root: Path, stage: str, own: Collection[Path]) -> None:
    """Remove a stage's checkpoints, whose work is done, and those that nobody has gone on with for a week.

    Others may be of an experiment that works in a copy of the project at the same time.

    Args:
        own: of the work that is done, by `checkpoint_path`.
    """
    for path in (home(root) / TRAININGS).glob(f"{stage}-*.safetensors"):
        if path in own or time.time() - path.stat().st_mtime > _ABANDONED_S:
            path.unlink(missing_ok=True)


class Checkpoint:
    """What a training leaves every minute and at its end, so that it goes on from there after a kill.

    Args:
        path: whose name says which training it is: one with other inputs has another.

    Attributes:
        path: see above.
        state: to be taken up; None at the beginning.
        curve: of the iterations that are done.
    """

    def __init__(self, path: Path, every_s: float = EVERY_S) -> None:
        self.path, self._every_s, self._kept = path, every_s, time.monotonic()
        self.state: Tensors | None = None
        self.curve: Curve = []
        if path.exists():
            try:
                state = unpack(path.read_bytes(), path, "the training begins anew")
                self.curve = json.loads(bytes(state.pop(_CURVE).tolist()))
                self.state = state
            except (ValueError, KeyError) as error:
                say(str(error))

    @property
    def iteration(self) -> int:
        """Finished iterations."""
        return 0 if self.state is None else int(self.state[ITERATION])

    def visit(self, state: Callable[[], Tensors]) -> None:
        """Keep the state, and the curve as it is, when it is time to."""
        if time.monotonic() - self._kept >= self._every_s:
            self.keep(state())

    def keep(self, state: Tensors) -> None:
        """Keep the state, and the curve as it is."""
        curve = torch.tensor(list(json.dumps(self.curve).encode()), dtype=torch.uint8)
        write_atomically(self.path, pack({**state, _CURVE: curve}))
        self._kept = time.monotonic()


def follow(
    label: str,
    steps: Iterator[Progress],
    iterations: int,
    checkpoint: Checkpoint | None = None,
    state: Callable[[], Tensors] = dict,
    watch: Callable[[Progress], None] | None = None,
) -> Curve:
    """Run a training to its end; the curve of its reports.

    Args:
        checkpoint: that the training has taken up, and where it leaves its `state`.
        watch: is shown every report.

    Raises:
        UserError: the loss is not finite.
    """
    ticker = Ticker(label, iterations, start=checkpoint.iteration if checkpoint else 0)
    curve: Curve = checkpoint.curve if checkpoint else []
    if checkpoint and checkpoint.iteration:
        say(f"{label}  goes on from iteration {checkpoint.iteration}")
    recent: list[float] = []
    try:
        for progress in steps:
            recent = [*recent[-7:], progress.loss]
            if watch:
                watch(progress)
            curve.append({"iteration": progress.iteration, "phase": progress.phase, **progress.terms})
            ticker.at(progress.iteration, f"loss {sum(recent) / len(recent):.4f}")
            if checkpoint:
                checkpoint.visit(state)
    except Diverged as error:
        raise UserError(f"{label}: {error}; lower train.lr or train.clip in params.yaml") from error
    if checkpoint:
        checkpoint.keep(state())
    return curve
