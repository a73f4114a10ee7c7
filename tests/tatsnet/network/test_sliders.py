"""Sliders: a monotone map and its inverse, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tatsnet.network.sliders import KNOTS, PLAIN, Sliders
from tatsnet.network.tasks import AXES

BENT = Sliders({axis: tuple((k / (KNOTS - 1)) ** (1 + n) for k in range(KNOTS)) for n, axis in enumerate(AXES)})


def test_plain_positions_are_the_levels() -> None:
    assert PLAIN.task((0.1, 0.55, 1)) == pytest.approx((0.1, 0.55, 1))


def test_positions_and_levels_are_inverse_monotone_and_keep_the_ends() -> None:
    positions = np.linspace(0, 1, 101)
    tasks = np.array([BENT.task((p, p, p)) for p in positions])
    assert (np.diff(tasks, axis=0) > 0).all()
    assert tasks[[0, -1]].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert np.abs(np.array([BENT.positions(task) for task in tasks]) - positions[:, None]).max() < 1e-12
    assert BENT.task((0.5, 0.5, 0.5)) == pytest.approx((0.5, 0.25, 0.125))


def test_json_gives_the_same_sliders() -> None:
    assert Sliders.from_json(BENT.to_json()) == BENT


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param([0, 1], id="too few"),
        pytest.param([0.1, *PLAIN.levels["deblur"][1:]], id="not from 0"),
        pytest.param([*PLAIN.levels["deblur"][:-1], 0.95], id="not to 1"),
        pytest.param([0, 0.5, 0.5, *PLAIN.levels["deblur"][3:]], id="not increasing"),
        pytest.param([0, math.nan, *PLAIN.levels["deblur"][2:]], id="not a number"),
        pytest.param([0, "0.1", *PLAIN.levels["deblur"][2:]], id="text"),
        pytest.param([0, True, *PLAIN.levels["deblur"][2:]], id="a truth value"),
        pytest.param(None, id="none"),
        pytest.param(0.5, id="no list"),
    ],
)
def test_what_is_no_slider_is_refused(levels: Any) -> None:
    with pytest.raises(ValueError, match="slider"):
        Sliders.from_json({**PLAIN.to_json(), "deblur": levels})


@pytest.mark.parametrize("data", [None, [], {}, {"deblur": list(PLAIN.levels["deblur"])}, {**PLAIN.to_json(), "x": []}])
def test_other_axes_are_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="slider"):
        Sliders.from_json(data)
