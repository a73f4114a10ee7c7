"""The whole pipeline by `dvc repro` in a clone of its own: what it leaves, what it repeats, how its runs hang together.

The first run takes about 75 s on two idle cores, the one with another trial 50 s.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from PIL import Image

from pipeline.common.files import verify_manifest
from pipeline.report import Metrics
from pipeline.tracking import Found, last_run_id, open_tracker
from pipeline.tracking.keys import TRIAL_STAGE, UPSTREAM
from pipeline.tracking.mlflow_tracker import MlflowTracker
from tatsnet.network.tasks import AXES
from tests.profiles.tiny import draw_photo, tiny_photos, tiny_profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOOK = "photos"
"""The stage that runs each time, to see whether the photos have changed."""
STAGES = ("download", "degrade", "pretrain", "search", "select", "finetune", "extract", "benchmark")
PICKS = ("knee", "best", "under-90", "under-1")
FOLDER = {"data.source": "folder", "data.folder": "photos"}
RUNNING = re.compile(r"^Running stage '(\w+)'", re.MULTILINE)
SKIPPED = re.compile(r"^Stage '(\w+)' didn't change, skipping", re.MULTILINE)


@dataclass(frozen=True)
class Clone:
    """A fresh clone of the project with the tiny profile, and the output of its first `dvc repro`."""

    root: Path
    output: str

    def run(self, *command: str) -> str:
        return run(self.root, *command)

    def git(self, *command: str) -> None:
        author = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        subprocess.run(["git", *author, *command], cwd=self.root, check=True)

    def json(self, name: str) -> Any:
        return json.loads((self.root / name).read_text(encoding="utf-8"))


def run(root: Path, *command: str) -> str:
    """Run a Python module in the clone; what it printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def clone(source: Path, target: Path, changes: Mapping[str, Any]) -> Path:
    """The tracked files of the working tree as a repository of their own, with drawn photos and the tiny profile."""
    listed = subprocess.run(["git", "-C", str(source), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    tiny_photos(target / "photos")
    tiny_profile(target / "params.yaml", changes)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "clone")):
        subprocess.run(["git", *command], cwd=target, check=True)
    return target


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    place = clone(root, tmp_path_factory.mktemp("clone"), FOLDER)
    return Clone(place, run(place, "dvc", "repro"))


@pytest.fixture(scope="module")
def metrics(project: Clone) -> Any:
    return project.json("reports/metrics.json")


@pytest.fixture(scope="module")
def tracker(project: Clone) -> MlflowTracker:
    return open_tracker("tiny", project.root)


@pytest.fixture(scope="module")
def runs(tracker: MlflowTracker) -> dict[str, Found]:
    """Every run after the first `dvc repro`, by id."""
    return {found.id: found for found in tracker.find()}


def test_every_stage_runs_and_says_when_it_is_done(project: Clone) -> None:
    assert tuple(RUNNING.findall(project.output)) == (LOOK, *STAGES)
    for stage in STAGES:
        assert f"== {stage}: done in " in project.output
    assert "Traceback" not in project.output


def test_progress_is_shown_with_what_is_left(project: Clone) -> None:
    assert re.search(r"^pretrain  500/500  loss ", project.output, re.MULTILINE)
    assert len(re.findall(r"^search  trial \d+  \d+/100 \w+  loss .*trials done", project.output, re.MULTILINE)) > 6
    assert re.search(r"^search  trial \d+ finished .* left\]$", project.output, re.MULTILINE)


def test_the_figures_have_the_documented_keys_and_ranges(metrics: Any) -> None:
    assert Metrics.from_json(metrics).to_json() == metrics
    assert {"input_psnr_db", "dense_psnr_db", "hypervolume", "trials", "picks"} <= set(metrics)
    assert set(metrics["trials"]) == {"finished", "stopped", "failed"}
    assert metrics["trials"]["finished"] == len(metrics["front"]) == 3
    assert tuple(pick["name"] for pick in metrics["picks"]) == PICKS
    for pick in metrics["picks"]:
        assert {"variant", "psnr_db", "ssim", "flops_ratio_m1", "flops_ratio_m27", "shared_layers_pct"} <= set(pick)
        assert 0 < pick["flops_ratio_m27"] <= pick["flops_ratio_m1"] < 1
        assert pick["speedup_27"] > 0
        assert set(pick["control"]) == set(pick["evenness"]) == set(AXES)
        assert pick["off_rms"] == 0
        assert pick["niqe"] is not None
    assert metrics["dense_psnr_db"] > metrics["input_psnr_db"] + 0.2
    assert metrics["hypervolume"] > 0


def test_the_report_is_there_and_self_contained(project: Clone) -> None:
    page = (project.root / "reports" / "index.html").read_text(encoding="utf-8")
    assert {"metrics.json", "tables.md", "index.html", "contact_sheet.jpg"} <= {
        path.name for path in (project.root / "reports").iterdir()
    }
    assert not re.search(r"""(src|href)=["'](?!data:|#|https?://)""", page)


def test_every_pick_is_a_network_that_the_command_line_restores_with(project: Clone) -> None:
    assert {path.name for path in (project.root / "models" / "pruned").iterdir()} == {*PICKS, "refused.json"}
    photo = "photos/test/test1.png"
    for pick in PICKS:
        out = f"{pick}.png"
        model = f"models/pruned/{pick}"
        project.run("tatsnet.cli", "restore", photo, "--denoise", "0.5", "-o", out, "--model", model)
        assert (project.root / out).stat().st_size > 1000


def test_the_photos_are_those_of_the_manifest_that_every_run_names(
    project: Clone, metrics: Any, runs: dict[str, Found]
) -> None:
    name = verify_manifest(project.root / "data" / "clean").dataset_sha256
    assert metrics["profile"]["dataset_sha256"] == name
    tagged = {runs[last_run_id(project.root, stage) or ""].tags["dataset.sha256"] for stage in STAGES}
    assert tagged == {name}


def test_the_chain_of_runs_leads_from_the_benchmark_back_to_the_download(
    project: Clone, runs: dict[str, Found]
) -> None:
    first = last_run_id(project.root, "benchmark")
    assert first is not None
    seen, todo = set[str](), [first]
    while todo:
        run_id = todo.pop()
        seen.add(run_id)
        for tag, upstream in runs[run_id].tags.items():
            if tag.startswith(UPSTREAM):
                assert runs[upstream].tags["stage"] == tag.removeprefix(UPSTREAM)
                todo += [] if upstream in seen else [upstream]
    assert {runs[run_id].tags["stage"] for run_id in seen} == set(STAGES)
    assert {runs[run_id].status for run_id in seen} == {"FINISHED"}
    assert len({runs[run_id].tags["git.commit"] for run_id in seen}) == 1


def test_every_trial_is_a_run_of_its_own_below_the_search(project: Clone, runs: dict[str, Found]) -> None:
    trials = {t["number"]: t for t in project.json("search/trials.json")["trials"]}
    children = [found for found in runs.values() if found.tags["stage"] == TRIAL_STAGE]
    assert {int(child.tags["number"]) for child in children} == set(trials)
    front = project.json("search/selected.json")["pareto"]
    for child in children:
        number = int(child.tags["number"])
        assert child.tags["mlflow.parentRunId"] == last_run_id(project.root, "search")
        if trials[number]["state"] == "finished":
            assert child.tags["pareto"] == str(number in front).lower()
            assert child.metrics["psnr_db"] == trials[number]["metrics"]["psnr_db"]


def test_the_networks_are_registered_with_figures_and_aliases(
    project: Clone, metrics: Any, tracker: MlflowTracker
) -> None:
    client = tracker._client
    aliases = client.get_registered_model("tiny").aliases
    assert set(aliases) == set(PICKS)
    trials = {pick["name"]: pick["trial"] for pick in metrics["picks"]}
    for pick in metrics["picks"]:
        version = client.get_model_version_by_alias("tiny", pick["name"])
        assert version.tags["trial"] == str(trials[pick["name"]])
        assert float(version.tags["psnr_db"]) == pytest.approx(pick["psnr_db"], abs=1e-3)
        assert version.run_id == last_run_id(project.root, "benchmark")
    assert len(set(aliases.values())) == len(set(trials.values()))


def test_the_summary_shows_the_picks_and_what_to_type_next(project: Clone, metrics: Any) -> None:
    text = project.run("pipeline", "summary")
    for pick in metrics["picks"]:
        assert re.search(rf"^{pick['name']} +{re.escape(pick['variant'])} +{pick['psnr_db']:.2f} ", text, re.MULTILINE)
    assert "3 finished" in text
    assert "tatsnet restore" in text


def test_dvc_shows_the_figures_of_the_report(project: Clone, metrics: Any) -> None:
    (shown,) = json.loads(project.run("dvc", "metrics", "show", "--json")).values()
    scores = shown["data"]["reports/scores.json"]["data"]
    assert scores["dense_psnr_db"] == metrics["dense_psnr_db"]
    assert set(scores["picks"]) == set(PICKS)


def test_dvc_plots_the_front_and_shows_the_pictures(project: Clone, metrics: Any, tmp_path: Path) -> None:
    project.run("dvc", "plots", "show", "-o", str(tmp_path))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "PSNR of the trials over their FLOPs" in page
    assert all(str(trial["psnr_db"]) in page for trial in metrics["front"])
    assert {path.name.removeprefix("workspace_reports_") for path in (tmp_path / "static").iterdir()} == {
        f"{name}.png" for name in ("pareto", "flops_over_m", "flops_over_task")
    }


@dataclass(frozen=True)
class Experiment:
    """The report before an experiment in a temporary copy, and the run that it left."""

    before: str
    run: Found


@pytest.fixture(scope="module")
def experiment(project: Clone, tracker: MlflowTracker) -> Experiment:
    project.git("add", "dvc.lock")
    project.git("commit", "-qm", "lock")
    before = (project.root / "reports" / "metrics.json").read_text()
    ids = {found.id for found in tracker.find()}
    project.run("dvc", "exp", "run", "--temp", "-n", "twice", "-S", "benchmark.repeats=2")
    (made,) = [found for found in tracker.find() if found.id not in ids]
    return Experiment(before=before, run=made)


@pytest.mark.long
def test_an_experiment_in_a_temporary_copy_is_recorded_in_the_project(
    project: Clone, experiment: Experiment, runs: dict[str, Found], tracker: MlflowTracker
) -> None:
    tags = experiment.run.tags
    assert (tags["stage"], tags["dvc.experiment"], experiment.run.params["benchmark.repeats"]) == (
        "benchmark",
        "twice",
        "2",
    )
    assert {runs[tags[f"{UPSTREAM}{stage}"]].tags["stage"] for stage in ("search", "extract")} == {"search", "extract"}
    versions = tracker._client.search_model_versions("name = 'tiny'")
    assert experiment.run.id in {version.run_id for version in versions}
    assert all(Path(urlparse(version.source).path).is_relative_to(project.root) for version in versions)
    assert not list((project.root / ".dvc" / "tmp" / "exps").rglob("mlflow.db"))


@pytest.mark.long
def test_an_experiment_leaves_the_workspace_s_report_and_takes_its_own_along(
    project: Clone, experiment: Experiment
) -> None:
    report = project.root / "reports" / "metrics.json"
    assert report.read_text() == experiment.before
    project.run("dvc", "exp", "apply", "twice")
    applied = report.read_text()
    assert applied != experiment.before
    assert json.loads(project.run("dvc", "status", "--json")) == {LOOK: ["always changed"]}
    assert last_run_id(project.root, "benchmark") == experiment.run.id
    assert "benchmark.repeats" in project.run("dvc", "params", "diff")
    assert "3 finished" in project.run("pipeline", "summary")
    project.git("checkout", "-q", "--", "params.yaml", "dvc.lock")
    with pytest.raises(AssertionError, match="does not hold the figures of this commit"):
        project.run("pipeline", "summary")
    project.run("dvc", "checkout")
    assert report.read_text() == experiment.before
    assert last_run_id(project.root, "benchmark") != experiment.run.id
    assert "3 finished" in project.run("pipeline", "summary")


def test_a_second_time_nothing_runs(project: Clone) -> None:
    output = project.run("dvc", "repro")
    assert RUNNING.findall(output) == [LOOK]
    assert tuple(SKIPPED.findall(output)) == STAGES
    assert "Updating lock file" not in output


def test_parameters_of_no_stage_run_nothing(project: Clone) -> None:
    changes = FOLDER | {"cost.gpu_tflops": 3.0, "tracking.experiment": "tiny"}
    tiny_profile(project.root / "params.yaml", changes)
    assert RUNNING.findall(project.run("dvc", "repro")) == [LOOK]


@pytest.fixture(scope="module")
def another_trial(project: Clone, metrics: Any, runs: dict[str, Found]) -> tuple[str, Any]:
    """`search.trials` raised by one: the output of `dvc repro`, and the trials that there were before."""
    before = project.json("search/trials.json")["trials"]
    tiny_profile(project.root / "params.yaml", FOLDER | {"search.trials": 4})
    return project.run("dvc", "repro"), before


@pytest.mark.long
def test_one_more_trial_runs_the_search_and_what_follows_it_alone(another_trial: tuple[str, Any]) -> None:
    output, _ = another_trial
    assert tuple(SKIPPED.findall(output))[:3] == STAGES[:3]
    ran = tuple(RUNNING.findall(output))
    assert ran[:3] == (LOOK, "search", "select")
    assert set(ran[1:]) <= set(STAGES[3:])
    assert ran[-1] == "benchmark"


@pytest.mark.long
def test_one_more_trial_goes_on_with_the_same_study(project: Clone, another_trial: tuple[str, Any]) -> None:
    output, before = another_trial
    assert "goes on with a study of 3 finished trials" in output
    after = project.json("search/trials.json")["trials"]
    assert after[: len(before)] == before
    assert sum(trial["state"] == "finished" for trial in after) == 4
    assert project.json("reports/metrics.json")["trials"]["finished"] == 4


@pytest.mark.long
def test_one_more_trial_hangs_below_the_same_search_as_the_others(
    project: Clone, another_trial: tuple[str, Any], tracker: MlflowTracker
) -> None:
    parent = last_run_id(project.root, "search")
    children = tracker.find({"stage": TRIAL_STAGE, "mlflow.parentRunId": parent or ""})
    assert len(children) == len(project.json("search/trials.json")["trials"])
    assert all("pareto" in child.tags for child in children if child.status == "FINISHED")


@pytest.mark.long
def test_a_changed_photo_is_noticed_from_the_start(project: Clone, another_trial: tuple[str, Any]) -> None:
    Image.fromarray(draw_photo(96, 128, seed=1)).save(project.root / "photos" / "train" / "train0.png")
    output = project.run("dvc", "repro", "degrade")
    assert RUNNING.findall(output) == [LOOK, "download", "degrade"]
    assert "pretrain" in json.loads(project.run("dvc", "status", "--json"))


@pytest.mark.long
def test_photos_that_are_away_are_taken_as_unchanged(project: Clone, another_trial: tuple[str, Any]) -> None:
    before = project.json("data/photos.json")
    (project.root / "photos").rename(project.root / "elsewhere")
    try:
        output = project.run("dvc", "repro", "degrade")
    finally:
        (project.root / "elsewhere").rename(project.root / "photos")
    assert RUNNING.findall(output) == [LOOK]
    assert "is not there. They are taken as unchanged" in output
    assert project.json("data/photos.json") == before
