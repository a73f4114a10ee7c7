"""Task vectors: what a user or a training sample asks of a network (paper section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

Task = tuple[float, float, float]
"""Restoration levels (deblur, denoise, dejpeg), each in [0, 1]."""

AXES = ("deblur", "denoise", "dejpeg")

LEVELS = (40, 50, 46)
"""Steps of the training grid per axis: blur width in tenths of a pixel, noise sigma, JPEG quality by twos."""


def check_task(task: Sequence[float]) -> Task:
    """A task vector as three numbers.

    Raises:
        ValueError: not three numbers in [0, 1].
    """
    if len(task) != 3 or not all(0 <= level <= 1 for level in task):
        raise ValueError(f"a task vector is three numbers in [0, 1], got {tuple(task)}")
    deblur, denoise, dejpeg = (float(level) for level in task)
    return deblur, denoise, dejpeg
