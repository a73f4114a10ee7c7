"""What a profile takes by the clock on several GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.plan import make_plan
from pipeline.commands.plan_cluster import CARDS, Clock, by_the_clock, makespan, render_clock, trained_share
from pipeline.config import Stopping
from tests.pipeline.test_plan import PAPER, change


def clock(gpus: int, card: str | None = "h100", interruptions: float = 0.0, **changes: Any) -> Clock:
    params = PAPER
    for place, value in changes.items():
        params = change(params, place.replace("__", "."), value)
    return by_the_clock(make_plan(params, Path("x")), params, gpus, card, interruptions)


def test_one_gpu_does_one_thing_after_the_other() -> None:
    one = clock(1)
    assert one.wall_hours == pytest.approx(one.gpu_hours)


def test_more_gpus_take_less_time_for_the_same_work_and_never_less_than_the_critical_path() -> None:
    clocks = [clock(gpus) for gpus in (1, 2, 4, 8, 64, 1000)]
    walls = [one.wall_hours for one in clocks]
    assert walls == sorted(walls, reverse=True)
    assert walls[0] > 3 * walls[3]
    assert all(one.gpu_hours == pytest.approx(clocks[0].gpu_hours) for one in clocks)
    assert walls[-1] == pytest.approx(clocks[-1].critical_hours)
    assert all(one.wall_hours >= one.critical_hours - 1e-9 for one in clocks)


def test_the_pretraining_takes_what_was_measured_on_the_card() -> None:
    """127 iterations a second of the paper's network, patch 64, batch 64."""
    assert clock(1).hours["pretrain"] == pytest.approx(PAPER.pretrain.iterations / 127 / 3600, rel=0.02)
    ninety = PAPER.search.trials * PAPER.search.schedule.iterations / 90 / 3600
    assert clock(1).hours["search"] == pytest.approx(ninety, rel=0.02)


def test_without_a_card_the_profile_s_rate_is_taken() -> None:
    slow = clock(1, card=None)
    assert slow.hours["pretrain"] / clock(1).hours["pretrain"] == pytest.approx(
        CARDS["h100"].tflops / PAPER.cost.gpu_tflops, rel=1e-6
    )


@pytest.mark.parametrize(
    ("rungs", "keep", "share"),
    [((), 0.34, 1.0), ((0.5,), 1.0, 1.0), ((0.1,), 0.34, 0.1 + 0.9 * 0.34), ((0.1, 0.5), 0.5, 0.1 + 0.2 + 0.125)],
)
def test_early_stopping_leaves_the_iterations_of_what_goes_on(
    rungs: tuple[float, ...], keep: float, share: float
) -> None:
    assert trained_share(Stopping(rungs=rungs, keep=keep)) == pytest.approx(share)
    stopped = clock(1, search__stopping=Stopping(rungs=rungs, keep=keep))
    assert stopped.gpu_hours <= clock(1).gpu_hours
    assert (stopped.gpu_hours < clock(1).gpu_hours) is (share < 1)


def test_interruptions_cost_time_and_money() -> None:
    calm, rough = clock(8), clock(8, interruptions=0.1)
    assert rough.wall_hours > calm.wall_hours
    assert rough.usd > calm.usd


@pytest.mark.parametrize(("hours", "workers", "expected"), [([3, 1, 1, 1], 2, 3), ([1, 1, 1], 2, 2), ([5], 4, 5)])
def test_the_longest_is_taken_first(hours: list[float], workers: int, expected: float) -> None:
    assert makespan(hours, workers) == expected


def test_idle_gpus_are_told_with_the_line_to_set() -> None:
    few = clock(8, search__resources__concurrent=2)
    assert f"search.resources.concurrent to {few.concurrent}" in render_clock(few)
    assert clock(8, search__resources__concurrent=64).concurrent is None
