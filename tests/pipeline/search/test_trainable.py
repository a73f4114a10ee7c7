"""Laws of a trial's rungs, without a cluster; tests/slow/test_search.py has a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.search.store import Store
from pipeline.search.trainable import RUNGS, SearchTrainable
from tatsnet import training
from tests.pipeline.search.jobs import make_job
from tests.pipeline.search.test_trial import POINT


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny trial has fewer iterations than lie between two reports of a training."""
    monkeypatch.setattr(training, "REPORT_EVERY", 1)


def begin(place: Path, owed: list[int]) -> SearchTrainable:
    """A worker that takes the trial up."""
    made = SearchTrainable.__new__(SearchTrainable)
    made.config = {
        "number": 0,
        "key": "key",
        "seed": 0,
        "point": POINT.to_json(),
        "store": str(place),
        "study": "study",
        "scored": [3, 5],
        "owed": owed,
    }
    made.setup(made.config, make_job())
    return made


def test_a_trial_reports_every_rung_and_scores_those_that_are_asked_for(tmp_path: Path) -> None:
    trial = begin(tmp_path, [3, 5])
    told: list[dict[str, Any]] = [trial.step() for _ in range(RUNGS)]
    assert [result.get("rung") for result in told] == [*range(1, RUNGS), None]
    assert [result["rung"] for result in told if "score" in result] == [3, 5]
    assert all(result["kept"] for result in told[:-1])
    assert told[-1]["done"]
    assert Store(str(tmp_path), "study").reached("key") == 0


def test_a_score_that_was_not_told_is_told_first_by_whoever_goes_on(tmp_path: Path) -> None:
    first = begin(tmp_path, [3, 5])
    told = [first.step() for _ in range(3)]
    again = begin(tmp_path, [3, 5]).step()
    assert (again["rung"], json.loads(again["score"])) == (3, json.loads(told[-1]["score"]))


def test_a_score_that_was_told_is_not_told_again(tmp_path: Path) -> None:
    first = begin(tmp_path, [3, 5])
    for _ in range(3):
        first.step()
    assert begin(tmp_path, [5]).step()["rung"] == 4
