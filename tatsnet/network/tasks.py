"""Task vectors: what a user or a training sample asks of a network (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Task = tuple[float, float, float]
"""Restoration levels (deblur, denoise, dejpeg), each in [0, 1]."""

AXES = ("deblur", "denoise", "dejpeg")

LEVELS = (40, 50, 46)
"""Steps of the training grid per axis: blur width in tenths of a pixel, noise sigma, JPEG quality by twos."""

ZeroTask = Literal["identity", "learned"]
"""What task vector 0 does: `identity` leaves the image as it is, `learned` is the paper's form."""


def onset(task_BD: Tensor) -> Tensor:
    """The share of the residual that a task vector lets through, B x 1: 0 at task 0, 1 from the first level on.

    At every level of the training grid but 0 it is 1, so that it changes no training but that of task 0.
    """
    steps = torch.stack([task_BD[..., axis] * levels for axis, levels in enumerate(LEVELS)], -1)
    return steps.amax(-1, keepdim=True).clamp(max=1)


def check_task(task: Sequence[float]) -> Task:
    """A task vector as three numbers.

    Raises:
        ValueError: not three numbers in [0, 1].
    """
    if len(task) != len(AXES) or not all(0 <= level <= 1 for level in task):
        raise ValueError(f"a task vector is three numbers in [0, 1], got {tuple(task)}")
    deblur, denoise, dejpeg = (float(level) for level in task)
    return deblur, denoise, dejpeg
