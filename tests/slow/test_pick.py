"""From a point of the front to a registered model by one command, of the last study and of one before it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
import torch

from pipeline.common.layout import PICKED, SHEET, TUNED, WEIGHTS
from pipeline.search.study.ledger import ended_records, sqlite
from pipeline.tracking import Found, open_tracker
from pipeline.tracking.fetching import network_folder
from pipeline.tracking.keys import NOTE, TRIAL_STAGE
from tatsnet.method.checkpoint import load_masked
from tatsnet.pruned.folder import read_folder
from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, searching

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Searched:
    """A project in which two studies were searched, with the trials of both."""

    root: Path
    source: Path
    old: str
    new: str

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(self.source)}
        command = [sys.executable, "-m", "pipeline", *words]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def searched(prepared: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    place = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("pick") / "project"))
    studies = []
    for seed in (0, 1):
        tiny_profile(place / "params.yaml", FOLDER | {"search.trials": 2, "search.seed": seed})
        with searching(place, root) as search:
            assert search.end() == 0, search.told()
        studies.append(json.loads((place / "search" / "trials.json").read_text(encoding="utf-8"))["study"])
    assert studies[0] != studies[1]
    return Searched(place, root, *studies)


def runs(searched: Searched, **tags: str) -> list[Found]:
    return open_tracker("tiny", searched.root).find(tags)


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_finished_trial_of_any_study_becomes_a_model(
    searched: Searched, which: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study: str = getattr(searched, which)
    named = [] if which == "new" else ["--study", study[:8]]
    done = searched.command("pick", "1", *named)
    assert done.returncode == 0, done.stderr
    folder = searched.root / PICKED / f"{study[:8]}-1"
    assert f"trial 1 of study {study[:8]}" in done.stdout
    assert f"tatsnet restore photo.jpg --model {PICKED}/{study[:8]}-1" in done.stdout
    assert not (searched.root / TUNED).exists(), "the dense network was not trained on"
    network = read_folder(folder)
    state = searched.root / ".state" / "search" / study
    (row,) = [row for row in ended_records(sqlite(state / "study.db"), study) if row["number"] == 1]
    found = load_masked(state / "store" / "networks" / study / row["metrics"]["key"] / WEIGHTS)
    tasks = [task for task, _ in network.architecture.tasks]
    assert network.architecture.patterns == found.architecture(tasks).patterns, "it is that trial's architecture"
    assert {path.name for path in folder.iterdir()} >= {"card.md", "contact_sheet.jpg", "figures.json"}
    (run,) = [found for found in runs(searched, stage="pick") if found.tags["study"] == study]
    assert run.metrics["difference"] <= 1e-5
    assert {"train_loss", "train_lr", "psnr_db", "speedup_27"} <= set(run.metrics)
    monkeypatch.chdir(searched.root)
    monkeypatch.setenv("HOME", str(tmp_path))
    registered = network_folder(f"models:/tiny@trial-{study[:8]}-1")
    assert (registered / "architecture.json").read_bytes() == (folder / "architecture.json").read_bytes()
    promoted = searched.command("promote", f"tiny@trial-{study[:8]}-1", "champion", "--force")
    assert promoted.returncode == 0, promoted.stderr
    assert "tiny@champion" in promoted.stdout


def test_what_cannot_be_picked_is_said_in_one_line(searched: Searched) -> None:
    done = searched.command("pick", "77")
    assert done.returncode == 2
    assert "trial 77" in done.stderr
    assert "Finished trials: 0; 1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_trial_has_a_card_and_a_curve_and_the_search_the_whole(searched: Searched) -> None:
    (search,) = [found for found in runs(searched, stage="search") if found.tags["study"] == searched.new]
    children = runs(searched, stage=TRIAL_STAGE, **{"mlflow.parentRunId": search.id})
    client = open_tracker("tiny", searched.root)._client
    assert len(children) == 2
    for child in children:
        assert f"python -m pipeline pick {child.tags['number']} --study {searched.new[:8]}" in child.tags[NOTE]
        assert {"train_loss", "train_lr", "weakest_slider"} <= set(child.metrics)
        assert f"get-artifact?path={SHEET}&run_uuid={child.id}" in child.tags[NOTE]
        assert SHEET in {file.path for file in client.list_artifacts(child.id)}
    assert [metric.step for metric in client.get_metric_history(children[0].id, "train_loss")] == [25, 50, 75, 100]
    assert [metric.step for metric in client.get_metric_history(search.id, "hypervolume")] == [1, 2]
    assert search.metrics["trials_done"] == 2
    assert search.metrics["iterations_trained"] == 200
    assert search.metrics["seconds_left"] == 0
    assert search.metrics["usd_spent"] > 0
    assert "artifacts/front.html" in search.tags[NOTE]
    page = client.download_artifacts(search.id, "front.html")
    text = Path(page).read_text(encoding="utf-8")
    assert f"study {searched.new[:8]}" in text
    assert f"study {searched.old[:8]}" in text, "the study before is drawn below"


def test_the_study_says_what_its_values_are(searched: Searched) -> None:
    place = searched.root / ".state" / "search" / searched.new / "study.db"
    study = optuna.load_study(study_name=searched.new, storage=f"sqlite:///{place}")
    assert study.metric_names == ["psnr_db", "flops_ratio_m27"]
    assert len(study.best_trials) > 0
    assert torch.isfinite(torch.tensor([trial.values for trial in study.best_trials])).all()
