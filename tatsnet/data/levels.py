"""Which degradations a training sees: levels of an input and of its ground truth (paper section 3.3).

Shapes: B pairs, D degradation types (3).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from tatsnet.network.tasks import LEVELS

Sampling = Literal["mixed", "paper"]
"""`mixed`: each type by itself absent, full or in between; `paper`: single-type, binary and uniform by turns."""

ABSENT = 0.3
"""Chance that a type of `mixed` is absent."""

FULL = 0.15
"""Chance that it is at its full level."""

UNTOUCHED = 0.2
"""Chance that a relative ground truth of `mixed` keeps all of a type."""

REMOVED = 0.5
"""Chance that it keeps nothing of it."""


def draw_levels(count: int, *, relative: bool, sampling: Sampling, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Levels of inputs and of their ground truths, both B x D, integers from 0 to LEVELS, on the generator's device.

    Args:
        count: pairs.
        relative: the ground truth lies between clean and the input (Figure 4b); otherwise it is clean.
    """
    draw = _Draw(count, generator)
    if sampling == "paper":
        return _paper(draw, relative)
    worse = _mixed(draw)
    if not relative:
        return worse, torch.zeros_like(worse)
    part = draw.share()
    better = torch.where(part < REMOVED + UNTOUCHED, worse, draw.up_to(worse))
    return worse, torch.where(part < REMOVED, 0, better)


def draw_tasks(count: int, *, relative: bool, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Task vectors as a training sees them: B x D in [0, 1] (eq. 13), on the generator's device."""
    worse, better = draw_levels(count, relative=relative, sampling=sampling, generator=generator)
    return task_between(worse, better)


def task_between(worse_BD: Tensor, better_BD: Tensor) -> Tensor:
    """The task vectors that lead from one level to another (eq. 13), float32."""
    return (worse_BD - better_BD) / _top(worse_BD.device).float()


class _Draw:
    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._generator, self._shape = generator, (count, len(LEVELS))
        self.top_BD = _top(generator.device).expand(self._shape)

    def share(self, columns: int = len(LEVELS)) -> Tensor:
        """Uniform in [0, 1), B x columns."""
        shape = (self._shape[0], columns)
        return torch.rand(shape, generator=self._generator, device=self._generator.device)

    def up_to(self, most_BD: Tensor, least: int = 0) -> Tensor:
        """Uniform integers from `least` to `most`."""
        return (self.share() * (most_BD - least + 1)).long().minimum(most_BD - least) + least


def _top(device: torch.device) -> Tensor:
    return torch.stack([torch.full((), top, dtype=torch.int64, device=device) for top in LEVELS])


def _mixed(draw: _Draw) -> Tensor:
    part = draw.share()
    between = draw.up_to(draw.top_BD, least=1)
    return torch.where(part < ABSENT, 0, torch.where(part < ABSENT + FULL, draw.top_BD, between))


def _paper(draw: _Draw, relative: bool) -> tuple[Tensor, Tensor]:
    turn, axis = draw.share(1), draw.share(1)
    axes = torch.arange(len(LEVELS), device=turn.device)
    uniform, binary = draw.up_to(draw.top_BD), draw.top_BD * (draw.share() < 0.5)
    single = uniform * ((axis * len(LEVELS)).long() == axes)
    is_binary = (turn >= 1 / 3) & (turn < 2 / 3)
    worse = torch.where(turn < 1 / 3, single, torch.where(is_binary, binary, uniform))
    if not relative:
        return worse, torch.zeros_like(worse)
    return worse, torch.where(is_binary, worse * (draw.share() < 0.5), draw.up_to(worse))
