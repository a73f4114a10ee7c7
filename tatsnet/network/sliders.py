"""Even sliders: where on a slider each level of the task vector stands, so that equal moves look equal.

The restored photo does not move evenly with a level: by a jump where a gate opens, by little where none does. A map per
axis takes that out. It is monotone, keeps 0 and 1, and is measured by `tatsnet.quality.sliders`; task vectors stay what
they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tatsnet.network.tasks import AXES, Task, check_task

KNOTS = 11
"""Positions 0, 0.1, ... 1 of a slider whose levels are kept; between them the map is linear."""

_POSITIONS = np.linspace(0, 1, KNOTS)


@dataclass(frozen=True)
class Sliders:
    """A monotone map from slider positions to levels of the task vector, for each axis.

    Args:
        levels: by axis, the level at each of the positions 0, 0.1, ... 1; from 0 to 1, strictly increasing.

    Raises:
        ValueError: an axis that is missing or unknown, or levels that are not as above.
    """

    levels: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if set(self.levels) != set(AXES):
            raise ValueError(f"sliders are {', '.join(AXES)}, got {', '.join(map(str, self.levels))}")
        for axis, levels in self.levels.items():
            ends = len(levels) == KNOTS and all(map(math.isfinite, levels)) and (levels[0], levels[-1]) == (0, 1)
            if not ends or any(after <= before for before, after in pairwise(levels)):
                raise ValueError(f"the slider {axis} needs {KNOTS} increasing levels from 0 to 1, got {levels!r:.80}")

    def task(self, positions: Sequence[float]) -> Task:
        """The task vector of slider positions, (deblur, denoise, dejpeg), each in [0, 1].

        Raises:
            ValueError: not three numbers in [0, 1].
        """
        return _mapped(positions, [(_POSITIONS, self.levels[axis]) for axis in AXES])

    def positions(self, task: Sequence[float]) -> Task:
        """Where the sliders stand for a task vector: the inverse of `task`.

        Raises:
            ValueError: not three numbers in [0, 1].
        """
        return _mapped(task, [(self.levels[axis], _POSITIONS) for axis in AXES])

    def to_json(self) -> dict[str, Any]:
        """As plain lists."""
        return {axis: list(self.levels[axis]) for axis in AXES}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Sliders:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            wrong = [level for levels in data.values() for level in levels if type(level) not in (int, float)]
            if wrong:
                raise ValueError(f"a slider's levels are numbers, got {wrong[0]!r:.40}")
            return Sliders({axis: tuple(map(float, levels)) for axis, levels in data.items()})
        except (AttributeError, TypeError, OverflowError) as error:
            raise ValueError(f"not sliders: {error!r}") from error


PLAIN = Sliders(dict.fromkeys(AXES, tuple(_POSITIONS.tolist())))
"""Sliders whose positions are the levels."""


def _mapped(values: Sequence[float], maps: Sequence[tuple[Any, Any]]) -> Task:
    return check_task([float(np.interp(value, *knots)) for value, knots in zip(check_task(values), maps, strict=True)])
