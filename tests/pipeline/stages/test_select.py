from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import UserError
from pipeline.common.layout import SELECTED_FILE, TRIALS_FILE
from pipeline.stages.select import work
from tests.pipeline.search.spaces import obeys
from tests.pipeline.stages.project import context, trial_row

ROWS = [
    trial_row(0, 24.0, 0.02),
    trial_row(1, 26.0, 0.03),
    trial_row(2, 27.0, 0.5),
    trial_row(3, 25.0, 0.4),
    trial_row(4, 28.0, 0.01, state="failed"),
    trial_row(5, 0.0, 0.0, state="failed"),
]


def select(
    root: Path, rows: list[dict[str, Any]], changes: dict[str, Any] | None = None, objectives: list[str] | None = None
) -> Any:
    (root / "search").mkdir(exist_ok=True)
    dense = {"psnr_db": 28.0, "input_psnr_db": 20.0, "control": {}}
    told: dict[str, Any] = {"objectives": objectives} if objectives else {}
    told["control"] = {"gain": 0.5, "off_rms": 0.5}
    (root / TRIALS_FILE).write_text(json.dumps({"schema": 1, "dense": dense, "trials": rows} | told))
    work(context(root, changes))
    return json.loads((root / SELECTED_FILE).read_text())


def test_the_front_and_its_picks(tmp_path: Path) -> None:
    found = select(tmp_path, ROWS, {"select.budgets": [0.025, 0.4]})
    assert found["pareto"] == [0, 1, 2]
    assert found["picks"] == [
        {"name": "knee", "trial": 1, "variant": "TSNet"},
        {"name": "best", "trial": 2, "variant": "TA+TSNet"},
        {"name": "under-2_5", "trial": 0, "variant": "TA+TSNet"},
        {"name": "under-40", "trial": 1, "variant": "TSNet"},
    ]
    assert found["hypervolume"] == pytest.approx(7 * 0.5 + 6 * 0.47 + 4 * 0.01)


def timed(rows: list[dict[str, Any]], ratios: list[float]) -> list[dict[str, Any]]:
    """The rows with a share of the dense time each."""
    return [
        row | {"metrics": row["metrics"] | {"latency_ratio_m27": ratio}}
        for row, ratio in zip(rows, ratios, strict=True)
    ]


BY_TIME = timed(ROWS[:4], [0.6, 0.2, 0.7, 0.1])


def test_latency_in_place_of_flops_makes_the_front_and_the_budgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = select(tmp_path, BY_TIME, {"select.budgets": [0.15]}, ["latency"])
    assert found["pareto"] == [3, 1, 2]
    assert found["hypervolume"] == pytest.approx(7 * 0.3 + 6 * 0.5 + 5 * 0.1)
    assert {pick["name"]: pick["trial"] for pick in found["picks"]}["under-15"] == 3
    assert "under-15: trial 3, 25.00 dB at 10.0% of the dense time" in capsys.readouterr().out


def test_latency_beside_flops_widens_the_front_and_leaves_the_budgets(tmp_path: Path) -> None:
    found = select(tmp_path, BY_TIME, {"select.budgets": [0.15]}, ["flops", "latency"])
    assert found["pareto"] == [0, 1, 3, 2]
    assert {pick["name"]: pick["trial"] for pick in found["picks"]}["under-15"] == 1


def test_only_networks_that_obey_are_on_the_front_and_picked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = trial_row(3, 28.0, 0.01)
    changed["metrics"] |= obeys(1.0, off_rms=0.6)
    rows = [trial_row(0, 26.0, 0.02, share=0.49), trial_row(1, 25.0, 0.1, share=0.5), trial_row(2, 27.0, 0.5), changed]
    found = select(tmp_path, rows, {"select.budgets": [0.2, 0.05]})
    assert found["pareto"] == [1, 2]
    picks = {pick["name"]: pick["trial"] for pick in found["picks"]}
    assert picks == {"knee": 1, "best": 2, "under-20": 1, "under-5": 1}
    assert found["hypervolume"] == pytest.approx(7 * 0.5 + 5 * 0.4)
    said = capsys.readouterr().out
    assert "no trial that obeys its sliders is within 5% of the dense FLOPs" in said
    assert "2 of 4 trials obey, 2 on the front" in said


def test_when_none_obeys_the_nearest_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    rows = [trial_row(0, 26.0, 0.02, share=0.1), trial_row(1, 25.0, 0.1, share=0.4)]
    with pytest.raises(UserError, match=r"none of 2 .* trial 1: deblur gains 40% .* less than 50%.*specific_points"):
        select(tmp_path, rows)


def test_failed_trials_are_never_picked_however_good(tmp_path: Path) -> None:
    found = select(tmp_path, ROWS)
    assert 4 not in found["pareto"]
    assert 4 not in {pick["trial"] for pick in found["picks"]}


def test_one_trial_is_every_pick(tmp_path: Path) -> None:
    found = select(tmp_path, ROWS[:1])
    assert {pick["trial"] for pick in found["picks"]} == {0}
    assert [pick["name"] for pick in found["picks"]] == ["knee", "best", "under-90", "under-1"]


def test_a_rule_that_is_not_asked_for_picks_nothing(tmp_path: Path) -> None:
    found = select(tmp_path, ROWS, {"select.picks": ["best"], "select.budgets": []})
    assert [pick["name"] for pick in found["picks"]] == ["best"]


@pytest.mark.parametrize(("budget", "warned"), [(0.01, True), (0.02, False)])
def test_nothing_within_the_budget_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], budget: float, warned: bool
) -> None:
    found = select(tmp_path, ROWS, {"select.budgets": [budget]})
    assert ("WARNING" in capsys.readouterr().out) is warned
    assert found["picks"][2]["trial"] == 0


@pytest.mark.parametrize("rows", [[], ROWS[4:]], ids=["none", "all failed"])
def test_no_finished_trial_is_said_and_leaves_the_former_picks(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    before = select(tmp_path, ROWS)
    with pytest.raises(UserError, match="dvc repro --force search"):
        select(tmp_path, rows)
    assert json.loads((tmp_path / SELECTED_FILE).read_text()) == before


@pytest.mark.parametrize("text", [None, "{"], ids=["missing", "cut short"])
def test_a_broken_list_of_trials_is_named_with_what_to_do(tmp_path: Path, text: str | None) -> None:
    if text:
        (tmp_path / "search").mkdir()
        (tmp_path / TRIALS_FILE).write_text(text)
    with pytest.raises(UserError, match=r"trials\.json .*dvc repro --force search"):
        work(context(tmp_path))
