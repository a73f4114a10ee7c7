from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from pipeline.__main__ import main
from pipeline.common.errors import UserError
from pipeline.config import Suggestion, load
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.warm_start import best_points
from tests.pipeline.search.spaces import search_config, space

PROJECT = Path(__file__).resolve().parents[3]
CONFIG = search_config(space=space(), suggestions=())
GAMMA = CONFIG.space.gamma.low


def trial(number: int, psnr_db: float, flops: float, **changes: Any) -> dict[str, Any]:
    point = {"variant": "TA+TSNet", "lambda1": 1e-3, "lambda2": 1e-2, "gamma": GAMMA}
    metrics = {"psnr_db": psnr_db, "flops_ratio_m27": flops}
    return {"number": number, "state": "finished", "reason": None, "metrics": metrics, **point} | changes


def study(*trials: dict[str, Any]) -> dict[str, Any]:
    return {"objectives": ["flops"], "trials": list(trials)}


def test_the_front_comes_first_from_its_best_psnr_to_what_is_farthest() -> None:
    dominated = trial(0, 24.0, 0.6, lambda1=1e-3)
    middle = trial(1, 25.0, 0.3, lambda1=2e-3)
    cheap = trial(2, 24.5, 0.1, lambda1=3e-3)
    best = trial(3, 26.0, 0.5, lambda1=4e-3)
    found = best_points(study(dominated, middle, cheap, best), CONFIG, 4)
    assert [point.lambda1 for point in found] == [4e-3, 3e-3, 2e-3, 1e-3]
    assert best_points(study(dominated, middle, cheap, best), CONFIG, 2) == found[:2]


def test_what_the_earlier_study_minimised_counts() -> None:
    slow = trial(0, 25.0, 0.1, lambda1=1e-3)
    fast = trial(1, 25.0, 0.2, lambda1=2e-3)
    slow["metrics"]["latency_ratio_m27"], fast["metrics"]["latency_ratio_m27"] = 0.4, 0.3
    assert best_points(study(slow, fast), CONFIG, 1)[0].lambda1 == 1e-3
    assert best_points(study(slow, fast) | {"objectives": ["latency"]}, CONFIG, 1)[0].lambda1 == 2e-3


def test_failed_and_stopped_trials_points_outside_and_doubles_are_left_out() -> None:
    rows = [
        trial(0, 27.0, 0.1, state="failed", metrics={}),
        trial(1, 27.0, 0.1, state="stopped"),
        trial(2, 27.0, 0.1, lambda1=2 * CONFIG.space.lambda1.high),
        trial(3, 27.0, 0.1, variant="TSNet-m"),
        trial(4, 26.0, 0.2),
        trial(5, 25.0, 0.1),
    ]
    config = replace(CONFIG, variants=("TA+TSNet", "TSNet"))
    (found,) = best_points(study(*rows), config, 9)
    assert found == Suggestion(variant="TA+TSNet", lambda1=1e-3, lambda2=1e-2, gamma=GAMMA)


@pytest.mark.parametrize(
    ("given", "count", "said"),
    [
        ([], 4, "holds no trials"),
        ({"runs": []}, 4, "holds no trials"),
        (study(), 4, "no trial of that study has finished"),
        (study(trial(0, 25.0, 0.1, lambda1=9.0)), 4, "widen the space"),
        (study(trial(0, 25.0, 0.1)), 0, "--points must be at least 1"),
    ],
)
def test_what_gives_no_point_is_said(given: Any, count: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        best_points(given, CONFIG, count)


def test_the_next_search_tries_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PROJECT / "profiles" / "quick.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    rows = [
        trial(0, 25.0, 0.1, variant="TA+TSNet-m", lambda1=0.0012345678901234, gamma=0.9),
        trial(1, 26.0, 0.2, variant="TSNet-m", lambda2=0.0, lambda1=0.002, gamma=0.9),
    ]
    (tmp_path / "earlier.json").write_text(json.dumps(study(*rows)), encoding="utf-8")
    assert main(["warm-start", "earlier.json"]) == 0
    assert "2; `dvc repro`" in capsys.readouterr().out

    config = load(tmp_path / "params.yaml").search
    ledger = Ledger(optuna.storages.InMemoryStorage(), "study", config)
    first, second = ledger.ask()[1], ledger.ask()[1]
    assert (first.variant, first.lambda1, first.lambda2) == ("TSNet-m", 0.002, 0.0)
    assert second.to_json() == {name: rows[0][name] for name in ("variant", "lambda1", "lambda2", "gamma")}
    assert ledger.ask()[1] not in (first, second), "and then samples"

    after = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    marks = ("  suggestions:", "  control:")
    assert [text.split(marks[0])[0] for text in (before, after)].count(before.split(marks[0])[0]) == 2
    assert after.split(marks[1])[1] == before.split(marks[1])[1], "comments and all"
