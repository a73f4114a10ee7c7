"""Measures even sliders: levels between which the restored photo moves equally far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tatsnet.network.sliders import KNOTS, PLAIN, Sliders
from tatsnet.network.tasks import AXES
from tatsnet.quality.control import travel
from tatsnet.quality.evaluation import EvalPhoto, Restore

STEPS = 40
"""In which the travel is measured: as fine as the coarsest axis of the training grid."""

LEAST_SHARE = 0.05
"""Of an even travel that every stretch of levels gets, however little it changes: no level becomes unreachable."""


def even_sliders(restore: Restore, photos: Sequence[EvalPhoto], device: torch.device) -> Sliders:
    """Sliders that share the travel of a network's output equally; a photo is degraded on the axis alone, fully.

    Args:
        photos: at least one; validation photos.
    """
    return Sliders({axis: _levels(travel(restore, photos, axis, PLAIN, STEPS, device)) for axis in AXES})


def _levels(moves: Sequence[float]) -> tuple[float, ...]:
    """The level of each knot, from how far the output moves with each of as many equal steps of the level."""
    level = np.linspace(0, 1, len(moves) + 1)
    way = np.concatenate([[0], np.cumsum(moves)])
    share = LEAST_SHARE * level + (1 - LEAST_SHARE) * (way / way[-1] if way[-1] else level)
    share[-1] = 1
    return tuple(np.interp(np.linspace(0, 1, KNOTS), share, level).tolist())
