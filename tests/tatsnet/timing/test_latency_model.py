"""Laws of the predictor: exact where measured, the shared part once per image, never dearer with fewer channels."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tatsnet.network.architecture import Architecture, NetworkConfig, Pattern, convolutions, gather
from tatsnet.network.section_plan import plan_section
from tatsnet.timing.latency_model import LatencyTable, dense_ms, interpolate, predict, section_ms

NETWORK = NetworkConfig(width=8, blocks=2)
GRID = (1, 4, 8)
TABLE = LatencyTable(
    device="a processor",
    runtime="torch",
    threads=1,
    size=(64, 48),
    width=8,
    grid=GRID,
    head_ms=(1.0, 2.0, 4.0),
    block_ms=((2.0, 4.0, 6.0), (6.0, 10.0, 20.0), (10.0, 22.0, 40.0)),
    end_ms=((3.0, 5.0, 7.0), (4.0, 6.0, 8.0), (5.0, 9.0, 14.0)),
    last_ms=(2.0, 3.0, 5.0),
    some_ms=(0.5, 0.25, 0.125),
    image_ms=0.3,
    effect_ms=0.2,
)
TASK, OTHER = (0.0, 0.5, 1.0), (1.0, 0.0, 0.0)


def uniform(count: int, network: NetworkConfig = NETWORK) -> Pattern:
    """The first `count` channels at every point."""
    return (tuple(range(count)),) * network.points


def architecture(pattern: Pattern, shared: int) -> Architecture:
    return gather(NETWORK, shared, [(TASK, pattern)])


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("column", range(3))
def test_the_measured_numbers_are_given_back(row: int, column: int) -> None:
    assert interpolate(GRID, TABLE.block_ms, GRID[row], GRID[column]) == TABLE.block_ms[row][column]


def test_between_them_it_is_bilinear() -> None:
    assert interpolate(GRID, TABLE.block_ms, 4, 6) == pytest.approx((10 + 20) / 2)
    assert interpolate(GRID, TABLE.block_ms, 6, 6) == pytest.approx((10 + 20 + 22 + 40) / 4)
    assert interpolate(GRID, TABLE.block_ms, 2, 4) == pytest.approx(2 / 3 * 4 + 1 / 3 * 10)


@pytest.mark.parametrize(("count", "layers"), [(1, 1 + 2 * 2 + 3), (4, 2 + 2 * 10 + 6), (8, 4 + 2 * 40 + 14)])
def test_a_tied_network_at_measured_numbers_is_the_sum_of_its_layers(count: int, layers: float) -> None:
    nothing_shared = predict(TABLE, architecture(uniform(count), 0), effects=27)
    assert nothing_shared == pytest.approx(0.3 / 27 + 0.2 + layers)
    all_shared = predict(TABLE, architecture(uniform(count), NETWORK.points), effects=27)
    assert all_shared == pytest.approx((0.3 + layers) / 27 + 0.2)


@pytest.mark.parametrize("shared", range(NETWORK.points + 1))
def test_cutting_a_network_in_two_neither_loses_nor_adds_time(shared: int) -> None:
    assert predict(TABLE, architecture(uniform(4), shared), effects=1) == pytest.approx(0.3 + 0.2 + 28)


def test_dense_is_every_channel_for_every_effect() -> None:
    assert dense_ms(TABLE, NETWORK) == pytest.approx(0.3 + 0.2 + 4 + 2 * 40 + 14)


def test_the_specific_part_is_a_mean_over_the_tasks() -> None:
    both = gather(NETWORK, 0, [(TASK, uniform(4)), (OTHER, uniform(8)), ((1.0, 1.0, 1.0), uniform(8))])
    alone = [predict(TABLE, architecture(uniform(count), 0), 27) for count in (4, 8, 8)]
    assert predict(TABLE, both, 27) == pytest.approx(sum(alone) / 3)


def test_channels_that_travel_unread_cost_a_gather_and_a_scatter() -> None:
    """Block 0 keeps 1 of the 4 channels that travel: 0.5 + 0.25 x 1 + 0.125 x 4 ms more."""
    few: Pattern = tuple((0,) if 0 < point < 4 and point != 2 else tuple(range(4)) for point in range(NETWORK.points))
    convs = convolutions(NETWORK)[1:3]
    travelling = section_ms(TABLE, plan_section(convs, few, (0, 1, 2, 3)))
    alone = section_ms(TABLE, plan_section(convs, few, (0,)))
    assert alone == pytest.approx(TABLE.block_ms[0][1])
    assert travelling == pytest.approx(alone + 0.5 + 0.25 + 0.5)


def test_what_a_section_takes_of_many_incoming_channels_is_a_gather() -> None:
    """2 of 8 that come in are used: half of 0.5 + 0.25 x 2 + 0.125 x 8 ms."""
    convs = convolutions(NETWORK)[-3:]
    few = (*uniform(2)[:-1], (0, 1, 2, 3))
    more = section_ms(TABLE, plan_section(convs, few, tuple(range(8)))) - section_ms(
        TABLE, plan_section(convs, few, (0, 1))
    )
    assert more == pytest.approx((0.5 + 0.5 + 1.0) / 2)


def test_up_and_out_alone_have_a_time_of_their_own() -> None:
    convs = convolutions(NETWORK)
    assert section_ms(TABLE, plan_section(convs[-2:], uniform(4))) == 3.0
    assert section_ms(TABLE, plan_section(convs[-3:-2], uniform(4), (0, 1, 2, 3))) == 6.0 - 3.0
    assert section_ms(TABLE, plan_section(convs[-3:], uniform(4), (0, 1, 2, 3))) == 6.0


@pytest.mark.parametrize("point", range(NETWORK.points))
def test_no_channels_cost_nothing(point: int) -> None:
    pattern = uniform(4)
    without = (*pattern[:point], (), *pattern[point + 1 :])
    assert predict(TABLE, architecture(without, 0), 1) < predict(TABLE, architecture(pattern, 0), 1)
    assert section_ms(TABLE, plan_section(convolutions(NETWORK), uniform(0))) == 0


@pytest.mark.parametrize("shared", [0, 4, 7, NETWORK.points])
def test_fewer_channels_are_never_dearer(shared: int) -> None:
    times = [predict(TABLE, architecture(uniform(count), shared), 27) for count in range(9)]
    assert times == sorted(times)


@pytest.mark.parametrize("shared", [1, 4, 7, NETWORK.points])
def test_more_effects_share_more(shared: int) -> None:
    times = [predict(TABLE, architecture(uniform(4), shared), effects) for effects in range(1, 28)]
    assert times == sorted(times, reverse=True)


def test_a_table_survives_json() -> None:
    assert LatencyTable.from_json(json.loads(json.dumps(TABLE.to_json()))) == TABLE


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": (1, 8)},
        {"grid": (2, 4, 8)},
        {"grid": (1, 4, 4)},
        {"grid": (1, 4, 16)},
        {"head_ms": (1.0, 2.0)},
        {"block_ms": ((1.0, 2.0, 3.0),) * 2},
        {"end_ms": ((1.0, 2.0),) * 3},
        {"last_ms": (1.0,)},
        {"image_ms": -1.0},
        {"effect_ms": float("nan")},
        {"head_ms": (1.0, float("inf"), 2.0)},
        {"some_ms": (0.0, -1.0, 0.0)},
    ],
    ids=str,
)
def test_a_table_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"grid|tables|times"):
        replace(TABLE, **changes)


@pytest.mark.parametrize("data", [{}, TABLE.to_json() | {"size": None}, TABLE.to_json() | {"some_ms": [1.0]}], ids=str)
def test_what_is_no_table_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        LatencyTable.from_json(data)


def test_another_width_and_no_effect_are_refused() -> None:
    other = NetworkConfig(width=16, blocks=2)
    with pytest.raises(ValueError, match="table is of 8 channels"):
        dense_ms(TABLE, other)
    with pytest.raises(ValueError, match="effects"):
        predict(TABLE, architecture(uniform(4), 0), 0)
