"""Any finished trial is found again, of whichever study, and its network comes back as it was left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.cluster.store import Store
from pipeline.common.errors import UserError
from pipeline.common.layout import STATE, TRIALS, TRIALS_FILE
from pipeline.search.study.earlier import finished_trial
from pipeline.search.study.ledger import Ledger, sqlite
from tests.pipeline.search.spaces import search_config, space, suggestion

OLD, NEW = "aa11" * 4, "ab22" * 4


@pytest.fixture(autouse=True)
def no_shared_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TATSNET_STORE", "TATSNET_STUDY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two studies in `.state`; the newer one was handed over to `search/`."""
    for study in (OLD, NEW):
        state = tmp_path / STATE / "search" / study
        config = search_config(space=space(), suggestions=(suggestion(lambda1=1e-3), suggestion(lambda1=2e-3)))
        ledger, store = Ledger(sqlite(state / "study.db"), study, config), Store(str(state / "store"), study)
        for number in range(3):
            ledger.ask()
            made = tmp_path / "made"
            made.mkdir(exist_ok=True)
            (made / "weights.safetensors").write_text(f"{study} {number}")
            (made / "architecture.json").write_text("{}")
            key = f"{study[:4]}{number}"
            store.put(key, made, {"record": "{}"})
            if number < 2:
                ledger.finish(number, {"psnr_db": 25.0 + number, "flops_ratio_m27": 0.1, "key": key})
            else:
                ledger.fail(number, "dead slider: denoise")
        rows = ledger.records()
    for row in rows[:2]:
        row["folder"] = f"{row['number']:04d}"
        Store(str(state / "store"), NEW).get(row["metrics"]["key"], folder(tmp_path / TRIALS / row["folder"]))
    (tmp_path / TRIALS_FILE).write_text(json.dumps({"study": NEW, "trials": rows}))
    return tmp_path


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("study", "number", "found"),
    [("", 1, NEW), (NEW[:6], 0, NEW), (OLD[:6], 1, OLD), (OLD, 0, OLD)],
)
def test_a_finished_trial_is_found_in_the_last_study_and_in_others(
    project: Path, study: str, number: int, found: str
) -> None:
    trial = finished_trial(project, number, study)
    assert (trial.study, trial.row["number"]) == (found, number)
    trial.fetch(folder(project / "got"))
    assert (project / "got" / "weights.safetensors").read_text() == f"{found} {number}"


def test_search_alone_and_state_alone_are_enough(project: Path, tmp_path: Path) -> None:
    shutil.move(project / STATE, project / "away")
    finished_trial(project, 1).fetch(folder(tmp_path / "a"))
    assert (tmp_path / "a" / "weights.safetensors").read_text() == f"{NEW} 1"
    shutil.move(project / "away", project / STATE)
    shutil.rmtree(project / "search")
    finished_trial(project, 1, NEW).fetch(folder(tmp_path / "b"))
    assert (tmp_path / "b" / "weights.safetensors").read_text() == f"{NEW} 1"


@pytest.mark.parametrize(
    ("study", "number", "said"),
    [
        ("", 2, r"trial 2 of study ab22ab22 is failed: dead slider: denoise. Finished trials: 0; 1"),
        ("", 7, r"trial 7 .* not there, or not ended yet"),
        ("a", 9, r"trial 9 of study ab22"),
        ("zz", 0, r"no study begins with 'zz'; there are .*aa11aa11.*--study"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(project: Path, study: str, number: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        finished_trial(project, number, study)


def test_a_network_that_is_gone_is_said_so(project: Path) -> None:
    shutil.rmtree(project / TRIALS)
    shutil.rmtree(project / STATE)
    with pytest.raises(UserError, match=r"trial 1 .* is gone.*dvc pull search"):
        finished_trial(project, 1).fetch(folder(project / "got"))


def test_without_any_search_it_says_to_run_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no search has been run.*dvc repro search"):
        finished_trial(tmp_path, 0)
