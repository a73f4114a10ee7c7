"""What is done while no trial runs; tests/slow/test_nodes.py has a real cluster without room."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.cluster.watch import Watch


class Tune:
    """Live trials by their status, a clock, and how often it was told that nothing runs."""

    def __init__(self, *live: str) -> None:
        self.live, self.now, self.told, self.limit = list(live), 0.0, 0, ""
        self.watch = Watch(lambda: self.limit or None, self.idle, patience_s=60.0, clock=lambda: self.now)
        controller: Any = SimpleNamespace(get_live_trials=lambda: [SimpleNamespace(status=one) for one in self.live])
        self.watch.controller = controller

    def idle(self) -> None:
        self.told += 1


def test_it_is_told_once_each_time_that_nothing_runs_for_long() -> None:
    tune = Tune("PENDING", "PENDING")
    for now, told in ((0, 0), (59, 0), (60, 1), (500, 1)):
        tune.now = now
        assert not tune.watch.stop_all()
        assert tune.told == told
    tune.live[0] = "RUNNING"
    assert not tune.watch.stop_all()
    tune.live[0] = "PENDING"
    for now, told in ((600, 1), (660, 2)):
        tune.now = now
        tune.watch.stop_all()
        assert tune.told == told


@pytest.mark.parametrize(
    ("live", "limit", "ends"),
    [
        (("PENDING",), "search.limits.hours", True),
        (("PENDING", "RUNNING"), "search.limits.hours", False),
        (("PENDING",), "", False),
        ((), "search.limits.hours", False),
    ],
    ids=["time is up", "one runs, up to its rung", "time is left", "nothing is there"],
)
def test_it_ends_what_has_no_place_to_run_when_time_is_up(live: tuple[str, ...], limit: str, ends: bool) -> None:
    tune = Tune(*live)
    tune.limit = limit
    assert tune.watch.stop_all() is ends


def test_it_ends_no_trial_and_travels_empty() -> None:
    tune = Tune("RUNNING")
    assert not tune.watch("trial", {"done": True})
    assert b"PENDING" not in pickle.dumps(tune.watch)
