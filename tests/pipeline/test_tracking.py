"""Laws of the tracker: nothing is lost that can be kept, the chain of runs is true, no training dies of its logger."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.tracking import (
    Found,
    NullTracker,
    Tracker,
    has_pareto_view,
    last_run_id,
    mark_pareto,
    open_tracker,
    pareto_view,
    stage_run,
    view_link,
)
from pipeline.tracking.keys import TRIAL_STAGE
from pipeline.tracking.mlflow_tracker import MlflowTracker
from pipeline.tracking.opening import make_delivery
from pipeline.tracking.outbox.records import is_local, local_id
from pipeline.tracking.outbox.store import RecordQueue, queue_folder
from pipeline.tracking.view import OFF_FRONT, ON_FRONT

STAGES = ("download", "degrade", "pretrain", "search", "select", "finetune", "extract", "benchmark")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture
def experiment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return str(request.node.name)


@pytest.fixture
def tracker(store: Path, experiment: str) -> MlflowTracker:
    return open_tracker(experiment, store)


@pytest.fixture(params=["null", "mlflow"])
def any_tracker(request: pytest.FixtureRequest) -> Tracker:
    return NullTracker() if request.param == "null" else request.getfixturevalue("tracker")


def the_run(tracker: Tracker, **tags: str) -> Found:
    (found,) = tracker.find(tags)
    return found


def artifacts_of(store: Path, run_id: str) -> Path:
    (folder,) = (store / "mlartifacts").glob(f"{run_id}/artifacts")
    return folder


class TestEveryTracker:
    def test_takes_every_record(self, any_tracker: Tracker, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a")
        run = any_tracker.start("name", stage="s", tags={"a": "b"}, parent=None, key="k:1")
        run.params({"p": 1, "q": None})
        run.metrics({"m": 1.0, "nan": float("nan"), "inf": float("inf")}, step=3)
        run.metrics({})
        run.tags({"t": "u"})
        run.artifact(tmp_path / "a.txt", "folder")
        run.artifact(tmp_path)
        run.artifact(tmp_path / "missing")
        run.text("text", "notes/a.md")
        run.json({"a": [1]}, "a.json")
        run.finish()
        any_tracker.run(run.id).finish("KILLED")
        any_tracker.tag_experiment({"e": "f"})
        assert isinstance(any_tracker.experiment_tags(), dict)
        assert isinstance(any_tracker.find({"stage": "s"}), list)

    @pytest.mark.parametrize("key", ["", "a b", "x' or 'a' = 'a", "k" * 201])
    def test_refuses_a_key_that_cannot_be_searched(self, any_tracker: Tracker, key: str) -> None:
        with pytest.raises(ValueError, match="key"):
            any_tracker.start("name", stage="s", key=key)

    def test_refuses_to_register_what_is_not_there(self, any_tracker: Tracker, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            any_tracker.register("run", "model", tmp_path / "nowhere", tags={})

    def test_a_stage_runs_in_it(self, any_tracker: Tracker, tmp_path: Path) -> None:
        with stage_run(any_tracker, "download", {"a": 1}, root=tmp_path) as run:
            run.metrics({"m": 1.0})
        assert last_run_id(tmp_path, "download") == (run.id or None)


class TestMlflow:
    def test_a_run_holds_what_was_recorded(self, tracker: MlflowTracker, store: Path, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a")
        run = tracker.start("trial-01", stage="search-trial", tags={"variant": "TSNet"})
        run.params({f"p{i}": i for i in range(230)})
        run.metrics({"good": 2.5, "nan": float("nan"), "inf": -float("inf")})
        run.artifact(tmp_path / "a.txt", "folder")
        run.text("hello", "notes.md")
        run.json({"a": [1]}, "a.json")
        run.finish()
        found = the_run(tracker, stage="search-trial")
        assert (found.id, found.name, found.status) == (run.id, "trial-01", "FINISHED")
        assert found.tags["variant"] == "TSNet"
        assert found.params == {f"p{i}": str(i) for i in range(230)}
        assert found.metrics == {"good": 2.5}
        kept = artifacts_of(store, run.id)
        assert (kept / "folder" / "a.txt").read_text() == "a"
        assert (kept / "notes.md").read_text() == "hello"
        assert json.loads((kept / "a.json").read_text()) == {"a": [1]}

    def test_a_key_stands_for_one_run(self, tracker: MlflowTracker, experiment: str, store: Path) -> None:
        first = tracker.start("trial", stage="t", key="abc", parent="old")
        first.metrics({"psnr_db": 1.0})
        first.finish("KILLED")
        again = open_tracker(experiment, store).start("trial", stage="t", key="abc", parent="new")
        other = tracker.start("trial", stage="t", key="abd")
        assert again.id == first.id != other.id
        found = the_run(tracker, **{"tatsnet.key": "abc"})
        assert found.status == "RUNNING"
        assert found.tags["mlflow.parentRunId"] == "new"
        assert found.metrics == {"psnr_db": 1.0}

    def test_one_refused_record_stops_no_other(self, tracker: MlflowTracker, caplog: pytest.LogCaptureFixture) -> None:
        run = tracker.start("r", stage="s")
        run.params({"a": 1})
        with caplog.at_level(logging.WARNING):
            run.params({"not a name?": 2})
            run.params({"nor this?": 3})
            run.metrics({"m": 1.0})
            found = the_run(tracker, stage="s")
        assert found.params == {"a": "1"}
        assert found.metrics == {"m": 1.0}
        assert len([r for r in caplog.records if r.name.startswith("pipeline")]) == 1

    def test_finds_by_every_tag_newest_first(self, tracker: MlflowTracker) -> None:
        ids = []
        for index in range(3):
            ids.append(tracker.start(f"r{index}", stage="s", tags={"odd": str(index % 2)}).id)
            time.sleep(0.002)
        assert [found.id for found in tracker.find()] == ids[::-1]
        assert [found.id for found in tracker.find({"stage": "s", "odd": "0"})] == [ids[2], ids[0]]

    @pytest.mark.slow
    def test_many_processes_open_a_new_store_at_once(self, tmp_path: Path) -> None:
        code = "import sys; from pathlib import Path; from pipeline.tracking import open_tracker\n"
        code += "t = open_tracker('e', Path(sys.argv[1])); r = t.start(sys.argv[2], stage='s')\n"
        code += "[r.metrics({'m': i}, step=i) for i in range(50)]; print(t.experiment_id, bool(r.id))"
        env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path), str(i)],
                stdout=subprocess.PIPE, text=True, env=env, cwd=Path(__file__).parents[2],
            )
            for i in range(4)
        ]  # fmt: skip
        assert {p.communicate(timeout=100)[0].strip() for p in started} == {"1 True"}
        assert [p.returncode for p in started] == [0] * 4
        found = open_tracker("e", tmp_path).find({"stage": "s"})
        assert [f.metrics for f in found] == [{"m": 49.0}] * 4


class TestStage:
    def chain(self, tracker: Tracker, root: Path, stages: tuple[str, ...] = STAGES) -> dict[str, str]:
        ids = {}
        for stage in stages:
            before = STAGES[max(STAGES.index(stage) - 1, 0) : STAGES.index(stage)]
            with stage_run(tracker, stage, {"a": {"b": 1}}, root=root, upstream=before) as run:
                ids[stage] = run.id
        return ids

    def test_tags_lead_from_the_benchmark_to_the_download(self, tracker: MlflowTracker, tmp_path: Path) -> None:
        ids = self.chain(tracker, tmp_path)
        runs = {found.id: found for found in tracker.find()}
        at, way = runs[ids["benchmark"]], ["benchmark"]
        while links := {k: v for k, v in at.tags.items() if k.startswith("upstream.")}:
            ((link, run_id),) = links.items()
            at = runs[run_id]
            assert link == f"upstream.{at.tags['stage']}"
            way.append(at.tags["stage"])
        assert way == list(reversed(STAGES))

    def test_a_skipped_stage_keeps_its_run(self, tracker: MlflowTracker, tmp_path: Path) -> None:
        first = self.chain(tracker, tmp_path)
        second = self.chain(tracker, tmp_path, ("search", "select"))
        runs = {found.id: found for found in tracker.find()}
        assert runs[second["search"]].tags["upstream.pretrain"] == first["pretrain"]
        assert runs[second["select"]].tags["upstream.search"] == second["search"] != first["search"]

    def test_says_what_made_it(self, tracker: MlflowTracker, tmp_path: Path) -> None:
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        (tmp_path / "f").write_text("1")
        for command in (["init", "-q"], ["add", "f"], ["commit", "-qm", "m"]):
            subprocess.run(
                [*git, *command], cwd=tmp_path, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
            )
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True
        ).stdout.strip()
        for dirty in ("false", "true"):
            with stage_run(tracker, dirty, {"a": {"b": 1}, "c": [1, 2]}, root=tmp_path, dataset_sha256="ff"):
                pass
            found = the_run(tracker, stage=dirty)
            assert found.params == {"a.b": "1", "c": "[1, 2]"}
            assert (found.tags["git.commit"], found.tags["git.dirty"]) == (commit, dirty)
            assert found.tags["dataset.sha256"] == "ff"
            assert found.tags["host"] == socket.gethostname()
            assert found.tags["python"] == ".".join(map(str, sys.version_info[:3]))
            assert found.tags["torch"][0].isdigit()
            assert 0 < found.metrics["seconds"] < 60
            (tmp_path / "f").write_text("2")

    @pytest.mark.parametrize(
        ("error", "status"), [(RuntimeError("the disk is full"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
    )
    def test_a_failure_is_recorded_and_raised(
        self, tracker: MlflowTracker, tmp_path: Path, error: BaseException, status: str
    ) -> None:
        with stage_run(tracker, "search", {}, root=tmp_path) as good:
            pass
        with pytest.raises(type(error)), stage_run(tracker, "search", {}, root=tmp_path) as bad:
            raise error
        found = {run.id: run for run in tracker.find()}
        assert found[bad.id].status == status
        assert found[bad.id].tags["reason"] == f"{type(error).__name__}: {error}"
        assert found[bad.id].metrics["seconds"] > 0
        assert last_run_id(tmp_path, "search") == good.id

    def test_outputs_made_without_a_tracker_have_no_run(self, tracker: MlflowTracker, tmp_path: Path) -> None:
        self.chain(tracker, tmp_path, ("download",))
        self.chain(NullTracker(), tmp_path, ("download",))
        ids = self.chain(tracker, tmp_path, ("degrade",))
        tags = {found.id: found.tags for found in tracker.find()}[ids["degrade"]]
        assert not [name for name in tags if name.startswith("upstream.")]

    def test_a_run_that_was_made_after_its_stage_is_known_by_the_tracker_s_id(self, tmp_path: Path) -> None:
        local = local_id()
        (tmp_path / ".state" / "runs").mkdir(parents=True)
        state = {"run_id": local, "tracking_uri": "http://127.0.0.1:1"}
        (tmp_path / ".state" / "runs" / "search.json").write_text(json.dumps(state))
        assert last_run_id(tmp_path, "search") == local
        RecordQueue(queue_folder(tmp_path, state["tracking_uri"])).know(local, "abc")
        assert last_run_id(tmp_path, "search") == "abc"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}'])
    def test_a_broken_state_file_is_no_run(self, tmp_path: Path, text: str) -> None:
        (tmp_path / ".state" / "runs").mkdir(parents=True)
        (tmp_path / ".state" / "runs" / "search.json").write_text(text)
        assert last_run_id(tmp_path, "search") is None


class TestParetoView:
    def test_marks_colours_and_names_the_trials(self, tracker: MlflowTracker) -> None:
        trials = [tracker.start(f"trial-{i}", stage=TRIAL_STAGE) for i in range(3)]
        for index, trial in enumerate(trials[:2]):
            trial.metrics({"psnr_db": 26 + index, "flops_ratio_m27": 0.1})
        for _ in range(2):
            mark_pareto(tracker, tracker.find(), {trials[1].id})
        found = {run.id: run for run in tracker.find()}
        assert [found[t.id].name for t in trials] == [
            "trial-0 · 26.00 dB · 10.0 %",
            "trial-1 · 27.00 dB · 10.0 %",
            "trial-2",
        ]
        assert [found[t.id].tags["pareto"] for t in trials] == ["false", "true", "false"]
        assert [found[t.id].tags["mlflow.runColor"] for t in trials] == [OFF_FRONT, ON_FRONT, OFF_FRONT]

    def test_the_page_is_kept_under_the_name_that_the_link_asks_for(self, tracker: MlflowTracker) -> None:
        assert not has_pareto_view(tracker)
        pareto_view(tracker, "the-search")
        assert has_pareto_view(tracker)
        state = json.loads(tracker.experiment_tags()["mlflow.sharedViewState.pareto"])
        assert "'the-search'" in state["searchFilter"]
        assert view_link("http://h:1/", "7").startswith("http://h:1/#/experiments/7/runs?viewStateShareKey=pareto&")

    @pytest.mark.parametrize(
        "costs", [("flops_ratio_m27",), ("latency_ratio_m27",), ("flops_ratio_m27", "latency_ratio_m27")]
    )
    def test_what_the_search_minimised_is_drawn_first(self, tracker: MlflowTracker, costs: tuple[str, ...]) -> None:
        pareto_view(tracker, "the-search", costs)
        state = json.loads(tracker.experiment_tags()["mlflow.sharedViewState.pareto"])
        drawn = [chart["xaxis"]["key"] for chart in state["compareRunCharts"] if chart["type"] == "SCATTER"]
        assert drawn[: len(costs)] == list(costs)
        assert len(set(drawn)) == len(drawn)
        assert {"flops_ratio_m1", "flops_ratio_m27", "shared_layers_pct"} <= set(drawn)
        assert {f"metrics.`{cost}`" for cost in costs} <= set(state["selectedColumns"])


class TestDeadServer:
    @pytest.fixture
    def dead_uri(self) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{probe.getsockname()[1]}"

    def test_is_told_at_once(self, dead_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_uri)
        begun = time.monotonic()
        with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
            open_tracker("e", tmp_path)
        assert time.monotonic() - begun < 5

    @pytest.mark.parametrize("uri", ["http://", "nonsense://x", "postgresql:/", "./runs"])
    def test_so_is_an_address_that_is_none(self, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
            open_tracker("e", tmp_path)

    def test_costs_a_training_some_seconds_in_all(
        self, dead_uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlflow.tracking import MlflowClient

        monkeypatch.setattr("pipeline.tracking.outbox.outbox._CLOSING_S", 1.0)
        client = MlflowClient(dead_uri)
        orphan = MlflowTracker(client, dead_uri, "1", make_delivery(client, tmp_path / "queue"))
        begun = time.monotonic()
        run = orphan.start("r", stage="s")
        for step in range(1000):
            run.metrics({"m": 1.0}, step=step)
        assert is_local(run.id)
        run.finish()
        assert orphan.find() == []
        assert orphan.experiment_tags() == {}
        assert orphan.register(run.id, "m", tmp_path, tags={}) == ""
        assert time.monotonic() - begun < 8
        said = [r.message for r in caplog.records if r.name.startswith("pipeline") and r.levelno >= logging.WARNING]
        assert sum("cannot be reached" in line for line in said) == 1
        assert sum("1002 records for the tracker wait in" in line for line in said) == 1


def test_stages_start_without_mlflow() -> None:
    code = "import sys, pipeline.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
