"""The time left that a search tells: it counts what is under way, and does not run backwards."""

from __future__ import annotations

import heapq
from itertools import pairwise

import pytest

from pipeline.search.driver.estimate import Estimate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(
    trials: int, places: int, trial_s: float, rungs: int = 10, before: int = 0
) -> list[tuple[float, float | None]]:
    """Seconds really left and foretold at each rung of a search whose trials take equally long."""
    clock = Clock()
    estimate = Estimate(trials + before, rungs, before, places=places, clock=clock)
    waiting, events, said = [*range(trials)], list[tuple[float, int, int]](), []

    def start() -> None:
        if waiting:
            number = waiting.pop(0)
            estimate.started(number)
            heapq.heappush(events, (clock.now + trial_s / rungs, number, 1))

    for _ in range(places):
        start()
    total = trial_s * -(-trials // places)
    while events:
        clock.now, number, rung = heapq.heappop(events)
        if rung == rungs:
            estimate.ended(number, rungs, counts=True)
            start()
        else:
            estimate.reached(number, rung)
            heapq.heappush(events, (clock.now + trial_s / rungs, number, rung + 1))
        said.append((1000.0 + total - clock.now, estimate.left_s()))
    return said


@pytest.mark.parametrize(("trials", "places"), [(1, 1), (8, 1), (8, 2), (7, 2), (3, 8), (60, 20)])
@pytest.mark.parametrize("before", [0, 5])
def test_equal_trials_are_foretold_from_the_first_rung_on(trials: int, places: int, before: int) -> None:
    for really, left in told(trials, places, 60.0, before=before):
        assert left == pytest.approx(really, abs=60.0 * 0.11 if places > 1 else 1e-6)


def test_it_never_runs_backwards_while_all_goes_as_before() -> None:
    said = [left for _, left in told(8, 2, 60.0) if left is not None]
    assert len(said) == 80
    assert all(after <= before + 1e-6 for before, after in pairwise(said[1:]))


def test_a_search_of_many_trials_is_foretold_too() -> None:
    clock = Clock()
    estimate = Estimate(100_000, 10, places=100, clock=clock)
    for trial in range(100):
        estimate.started(trial)
    clock.now += 6
    for trial in range(100):
        estimate.reached(trial, 1)
    assert estimate.left_s() == pytest.approx(60 * 1000, rel=0.001)


def test_nothing_is_told_before_anything_is_trained() -> None:
    estimate = Estimate(3, 100, places=2, clock=Clock())
    assert estimate.left_s() is None
    estimate.started(0, 50)
    assert estimate.left_s() is None
    assert estimate.iterations == 50


def test_what_was_trained_before_is_not_taken_for_speed() -> None:
    clock = Clock()
    estimate = Estimate(1, 100, clock=clock)
    estimate.started(0, 90)
    clock.now += 10
    estimate.reached(0, 95)
    assert estimate.left_s() == pytest.approx(10)


def test_a_failed_trial_is_work_that_has_to_be_done_again() -> None:
    clock = Clock()
    estimate = Estimate(2, 100, clock=clock)
    estimate.started(0)
    clock.now += 30
    estimate.reached(0, 50)
    estimate.ended(0, 0, counts=False)
    assert estimate.left_s() == pytest.approx(120)


def test_one_that_had_ended_is_no_speed() -> None:
    estimate = Estimate(2, 100, clock=Clock())
    estimate.started(0, 100)
    estimate.ended(0, 100, counts=True)
    assert estimate.left_s() is None
    assert estimate.iterations == 100


def test_trials_to_come_are_expected_to_be_as_long_as_those_that_are_done() -> None:
    clock = Clock()
    estimate = Estimate(4, 100, done=2, done_iterations=100, clock=clock)
    estimate.started(2)
    clock.now += 50
    estimate.ended(2, 50, counts=True)
    assert estimate.left_s() == pytest.approx(50)


def test_a_trial_that_takes_its_time_does_not_make_it_run_backwards() -> None:
    clock = Clock()
    estimate = Estimate(1, 100, clock=clock)
    estimate.started(0)
    clock.now += 10
    estimate.reached(0, 50)
    said = []
    for _ in range(20):
        clock.now += 1
        said.append(estimate.left_s() or 0.0)
    assert said == sorted(said, reverse=True)
    assert said[-1] == 0


def test_early_stopping_saves_what_stopped_trials_were_not_trained() -> None:
    estimate = Estimate(4, 100)
    assert estimate.saved == 0
    for number, iterations in enumerate((100, 30)):
        estimate.started(number)
        estimate.ended(number, iterations, counts=True)
    estimate.started(2)
    estimate.ended(2, 10, counts=False)
    assert estimate.saved == pytest.approx(0.35)
