"""Early stopping with several objectives: asynchronous successive halving on non-dominated ranks (MO-ASHA).

R. Schmucker, M. Donini, M. B. Zafar, D. Salinas, C. Archambeau: Multi-objective Asynchronous Successive Halving,
arXiv 2106.12639; within a front the order is that of their epsilon-net.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def goes_on(scores: Sequence[Sequence[float]], own: int, keep: float) -> bool:
    """Whether a trial is among the best share of those that have reached its rung so far.

    Args:
        scores: of all of them, a row per trial, every column to be minimised.
        own: its row.
        keep: the share, in (0, 1]; rounded up, so that the first to come goes on.
    """
    return own in ranking(scores)[: math.ceil(keep * len(scores))]


def ranking(scores: Sequence[Sequence[float]]) -> list[int]:
    """Rows from the best to the worst: front by front; within one, each next as far as can be from those before it."""
    values = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    low, high = values.min(0), values.max(0)
    scaled = (values - low) / np.where(high > low, high - low, 1)
    dominates: Flags = np.all(values[:, None] <= values, axis=-1) & np.any(values[:, None] < values, axis=-1)
    left = np.ones(len(values), bool)
    ranked: list[int] = []
    while left.any():
        front = left & ~dominates[left].any(0)
        ranked += _spread(scaled, np.flatnonzero(front))
        left &= ~front
    return ranked


def _spread(scaled: Values, front: npt.NDArray[np.intp]) -> list[int]:
    """An epsilon-net: the best of the first column, then whatever is farthest from all that was taken."""
    at = int(scaled[front, 0].argmin())
    taken = [at]
    nearest = np.full(len(front), np.inf)
    while len(taken) < len(front):
        nearest = np.minimum(nearest, np.linalg.norm(scaled[front] - scaled[front[at]], axis=1))
        nearest[taken] = -1
        at = int(nearest.argmax())
        taken.append(at)
    return [int(front[place]) for place in taken]
