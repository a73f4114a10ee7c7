"""Laws of a trial's rungs, without a cluster; tests/slow/test_search.py has a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster import stretches
from pipeline.cluster.store import Store, StoreAway
from pipeline.search.trial.rungs import RUNGS, Rungs
from tatsnet.method import training
from tests.pipeline.search.jobs import make_job
from tests.pipeline.search.test_trial import POINT


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny trial has fewer iterations than lie between two reports of a training."""
    monkeypatch.setattr(training, "REPORT_EVERY", 1)


def begin(place: Path) -> Rungs:
    """A worker that takes the trial up."""
    made = Rungs()
    config = {
        "number": 0,
        "key": "key",
        "seed": 0,
        "point": POINT.to_json(),
        "store": str(place),
        "study": "study",
        "scored": [3, 5],
    }
    made.setup(config, make_job())
    return made


def test_a_trial_reports_every_rung_and_scores_those_that_are_asked_for(tmp_path: Path) -> None:
    trial = begin(tmp_path)
    told: list[dict[str, Any]] = [trial.step() for _ in range(RUNGS)]
    assert [result.get("rung") for result in told] == [*range(1, RUNGS), None]
    assert [result["rung"] for result in told if "score" in result] == [3, 5]
    assert all(result["kept"] for result in told[:-1])
    assert told[-1]["done"]
    assert Store(str(tmp_path), "study").reached("key") == 0


def test_whoever_goes_on_at_a_scored_rung_tells_the_score_first_and_then_trains(tmp_path: Path) -> None:
    """Its first worker may have died before it told, and the driver before it had written what follows from it."""
    first = begin(tmp_path)
    told = [first.step() for _ in range(3)]
    again = begin(tmp_path)
    score = again.step()
    assert (score["rung"], json.loads(score["score"])) == (3, json.loads(told[-1]["score"]))
    assert again.step()["rung"] == 4


def test_whoever_goes_on_behind_it_does_not(tmp_path: Path) -> None:
    first = begin(tmp_path)
    for _ in range(4):
        first.step()
    assert begin(tmp_path).step()["rung"] == 5


def told_of(result: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on the clock."""
    record = json.loads(result.get("record", "{}"))
    figures = {name: value for name, value in record.items() if "seconds" not in name and name != "device_hours"}
    return {name: value for name, value in result.items() if name not in ("spent", "record")} | figures


@pytest.mark.parametrize("rungs", [0, 1, 3, RUNGS - 1], ids=["at first", "later", "where it is scored", "at its end"])
def test_a_trial_whose_store_is_away_says_so_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rungs: int
) -> None:
    monkeypatch.setattr(stretches, "PAUSE_S", 0.0)
    undisturbed = begin(tmp_path / "undisturbed")
    expected = [told_of(undisturbed.step()) for _ in range(RUNGS)]
    place, aside = tmp_path / "store", tmp_path / "aside"
    place.mkdir()
    trial = begin(place)
    told = [told_of(trial.step()) for _ in range(rungs)]
    place.rename(aside)
    place.write_text("no folder: whatever is written fails")
    for _ in range(3):
        waits = trial.step()
        assert set(waits) - {"spent"} == {"away"}
        assert f"cannot use the store {place}" in waits["away"]
    place.unlink()
    aside.rename(place)
    told += [told_of(trial.step()) for _ in range(RUNGS - rungs)]
    assert told == expected


def test_a_worker_gives_up_a_store_that_stays_away_so_that_another_may_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "PAUSE_S", 0.0)
    (tmp_path / "store").write_text("no folder")
    trial = begin(tmp_path / "store")
    assert "away" in trial.step()
    monkeypatch.setattr(stretches, "PATIENCE_S", 0.0)
    with pytest.raises(StoreAway, match="cannot use the store"):
        trial.step()
