"""Real searches, on a real Ray, ended by divergence, SIGKILL, Ctrl-C and dying workers: the count stays exact."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.common.layout import WEIGHTS
from pipeline.stages import select
from pipeline.tracking import last_run_id, open_tracker
from pipeline.tracking.keys import TRIAL_STAGE
from tatsnet.data.degradation import GRID
from tatsnet.method.checkpoint import load_masked
from tatsnet.network.architecture import Architecture
from tatsnet.timing.latency_model import LatencyTable, predict
from tests.pipeline.stages.project import context
from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, TOLD, kept, kill, searching, suggested, trainers, trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POINT = ("variant", "lambda1", "lambda2", "gamma")


@pytest.fixture(scope="module")
def diverged(prepared: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A search of which two trials are wanted and the first of three overflows: its folder, and what it said."""
    place = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("diverged") / "project"))
    changes = {
        "search.trials": 2,
        "search.space.lambda1": {"low": 1e-3, "high": 4e38},
        "search.suggestions": [suggested("TSNet", 4e38), suggested("TSNet", 1e-2), suggested("TA+TSNet", 1e-2)],
    }
    tiny_profile(place / "params.yaml", FOLDER | changes)
    with searching(place, root) as search:
        assert search.end() == 0, search.errors()
        assert not search.errors()
        return place, search.lines


class TestDivergence:
    def test_it_has_failed_with_its_reason_and_the_search_goes_on(self, diverged: tuple[Path, list[str]]) -> None:
        place, lines = diverged
        rows = trials(place)
        assert [(row["number"], row["state"]) for row in rows] == [(0, "failed"), (1, "finished"), (2, "finished")]
        assert re.search(r"diverged: the loss became (inf|nan) at iteration \d+ of 100", rows[0]["reason"])
        assert any("trial 0 FAILED: diverged" in line for line in lines)

    def test_the_finished_ones_are_networks_as_measured(self, diverged: tuple[Path, list[str]]) -> None:
        place, _ = diverged
        folder = place / "search" / "trials"
        assert {path.name for path in folder.iterdir()} == {"0001", "0002"}
        for row in trials(place)[1:]:
            model = load_masked(folder / row["folder"] / "weights.safetensors")
            text = (folder / row["folder"] / "architecture.json").read_text(encoding="utf-8")
            assert Architecture.from_json(json.loads(text)) == model.architecture(GRID)
            assert row["metrics"]["shared_layers_pct"] == model.architecture(GRID).shared_percent
            assert 0 < row["metrics"]["flops_ratio_m27"] <= row["metrics"]["flops_ratio_m1"] < 1
            assert row["metrics"]["psnr_db"] > 10

    def test_its_runs_say_how_they_ended(self, diverged: tuple[Path, list[str]]) -> None:
        place, _ = diverged
        children = {found.tags["number"]: found for found in open_tracker("tiny", place).find({"stage": TRIAL_STAGE})}
        assert {number: found.status for number, found in children.items()} == {
            "0": "FAILED",
            "1": "FINISHED",
            "2": "FINISHED",
        }
        assert children["0"].tags["reason"].startswith("diverged")
        assert {found.tags["mlflow.parentRunId"] for found in children.values()} == {last_run_id(place, "search")}

    def test_a_second_run_does_nothing_new(self, diverged: tuple[Path, list[str]], root: Path) -> None:
        place, _ = diverged
        before = trials(place)
        with searching(place, root) as again:
            assert again.end() == 0, again.errors()
            assert not any(" starts: " in line for line in again.lines)
        assert trials(place) == before


def test_kills_at_any_time_leave_what_an_undisturbed_search_finds(project: Path, root: Path) -> None:
    """One trial at a time, so that the order in which they end is the same: then everything is, to the last digit."""
    changes = FOLDER | {
        "search.trials": 4,
        "search.schedule.iterations": 400,
        "search.resources.concurrent": 1,
    }
    tiny_profile(project / "params.yaml", changes)
    undisturbed = Path(shutil.copytree(project, project.with_name("undisturbed")))
    with searching(undisturbed, root) as search:
        assert search.end() == 0, search.errors()

    with searching(project, root) as search:  # before the first result
        search.until(r"trial 0 starts")
        kill(search)
    with searching(project, root) as search:  # in the middle of a trial
        search.until(r"trial 1  1\d\d/400 ")
        kill(search)
    checkpoint = max(int(path.stem) for path in kept(project, "checkpoints/*/*/*"))
    assert checkpoint >= 80
    with searching(project, root) as search:  # by Ctrl-C, one later
        search.until(r"goes on with a study of 1 finished")
        search.until(rf"trial 1 goes on from iteration {checkpoint}")
        assert not any(" starts: " in line for line in search.lines)
        search.until(r"trial 2  \d+/400 ")
        os.killpg(search.process.pid, signal.SIGINT)
        assert search.end() == 130, search.errors()
        assert re.fullmatch(r"search: interrupted; .*\n", search.errors())
        time.sleep(1)
        assert not trainers(search.process.pid)
    with searching(project, root) as search:  # while the last trial ends: its network is there
        search.until(r"trial 3  \d+/400 ")
        while len(kept(project, "networks/*/*/record.json")) < 4:
            time.sleep(0.005)
        kill(search)
    assert not (project / "search" / "trials.json").exists()
    with searching(project, root) as search:
        assert search.end() == 0, search.errors()
        assert not any(TOLD.match(line) for line in search.lines), "nothing is trained again"

    rows, expected = trials(project), trials(undisturbed)
    assert [row["state"] for row in rows] == ["finished"] * 4
    for row, other in zip(rows, expected, strict=True):
        assert [row[name] for name in ("number", *POINT)] == [other[name] for name in ("number", *POINT)]
        own, others = row["metrics"], other["metrics"]
        for name in ("psnr_db", "flops_ratio_m1", "flops_ratio_m27", "shared_layers_pct", "control", "off_rms"):
            assert own[name] == others[name], name
    first, second = (
        load_masked(place / "search/trials/0003" / WEIGHTS).state_dict() for place in (project, undisturbed)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not kept(project, "checkpoints/*/*/*"), "they go with the trial's end"
    with contextlib.closing(sqlite3.connect(next((project / ".state" / "search").glob("*/study.db")))) as study:
        assert {state for (state,) in study.execute("select state from trials")} == {"COMPLETE"}
    one_run_per_trial(project, rows)


def one_run_per_trial(project: Path, rows: list[dict[str, Any]]) -> None:
    tracker = open_tracker("tiny", project)
    (parent,) = tracker.find({"stage": "search"})
    assert (parent.id, parent.status) == (last_run_id(project, "search"), "FINISHED")
    children = tracker.find({"stage": TRIAL_STAGE})
    assert sorted(int(child.tags["number"]) for child in children) == [row["number"] for row in rows]
    assert {child.status for child in children} == {"FINISHED"}
    assert {child.tags["mlflow.parentRunId"] for child in children} == {parent.id}


def test_a_machine_that_is_taken_away_ends_a_search_as_ctrl_c_does(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.schedule.iterations": 2000})
    with searching(project, root) as search:
        search.until(r"trial \d  \d+/2000 ")
        for _ in range(2):
            search.process.terminate()
        assert search.end() == 130, search.errors()
        assert re.fullmatch(r"search: interrupted; .*goes on from here\n", search.errors())
        assert not trainers(search.process.pid)
    tracker = open_tracker("tiny", project)
    assert [found.status for found in tracker.find({"stage": "search"})] == ["KILLED"]


@pytest.mark.long
def test_kills_of_driver_and_workers_with_two_trials_at_a_time_keep_the_count(project: Path, root: Path) -> None:
    changes = FOLDER | {
        "search.trials": 4,
        "search.schedule.iterations": 400,
        "search.resources.max_failures": 2,
    }
    tiny_profile(project / "params.yaml", changes)
    with searching(project, root) as search:
        search.until(r"trial \d+ finished")
        search.until(r"trial \d+  \d+/400 ")
        kill(search)
    with searching(project, root) as search:
        search.until(r"trial \d+  \d+/400 ")
        os.kill(trainers(search.process.pid)[0], signal.SIGKILL)
        assert search.end() == 0, search.errors()
        rungs = [TOLD.match(line) for line in search.lines]
        told = [(match[1], int(match[2])) for match in rungs if match]
        assert len(told) - len(set(told)) <= 1, "at most one rung is trained twice"
    rows = trials(project)
    assert [row["state"] for row in rows] == ["finished"] * 4, "none is missing, doubled, or failed by its kill"
    points = [tuple(row[name] for name in POINT) for row in rows]
    assert len(set(points)) == 4
    assert {path.name for path in (project / "search" / "trials").iterdir()} == {row["folder"] for row in rows}
    one_run_per_trial(project, rows)


@pytest.mark.long
def test_a_search_that_stops_trials_early_counts_them_and_keeps_them_out_of_the_front(
    project: Path, root: Path
) -> None:
    changes = FOLDER | {"search.trials": 6, "search.stopping": {"rungs": [0.3, 0.6], "keep": 0.34}}
    tiny_profile(project / "params.yaml", changes)
    with searching(project, root) as search:
        assert search.end() == 0, search.errors()
    rows = trials(project)
    states = [row["state"] for row in rows]
    assert set(states) == {"finished", "stopped"}
    assert len(states) == 6
    assert {row.get("folder") for row in rows if row["state"] == "stopped"} == {None}
    iterations = sum(100 if row["state"] == "finished" else 60 for row in rows)
    assert iterations < 600
    select.work(context(project, changes))
    chosen = json.loads((project / "search" / "selected.json").read_text(encoding="utf-8"))
    finished = {row["number"] for row in rows if row["state"] == "finished"}
    assert set(chosen["pareto"]) <= finished
    statuses = {
        found.tags["state"]: found.status for found in open_tracker("tiny", project).find({"stage": TRIAL_STAGE})
    }
    assert statuses == {"finished": "FINISHED", "stopped": "KILLED"}


@pytest.mark.long
def test_a_bound_on_money_ends_a_search_with_what_it_has_and_a_higher_one_goes_on(project: Path, root: Path) -> None:
    changes = FOLDER | {"search.schedule.iterations": 400}
    tiny_profile(project / "params.yaml", changes | {"search.trials": 1})
    with searching(project, root) as search:
        assert search.end() == 0, search.errors()
    (first,) = trials(project)
    assert first["metrics"]["usd"] > 0
    limits = {"hours": None, "usd": 1.5 * first["metrics"]["usd"]}
    tiny_profile(project / "params.yaml", changes | {"search.trials": 50, "search.limits": limits})
    with searching(project, root) as search:
        assert search.end() == 0, search.errors()
        assert any("suspended: search.limits.usd" in line for line in search.lines)
        assert any("ends with what it has at search.limits.usd" in line for line in search.lines)
    few = trials(project)
    assert 1 <= len(few) < 10
    tiny_profile(project / "params.yaml", changes | {"search.trials": len(few) + 2})
    with searching(project, root) as search:
        assert search.end() == 0, search.errors()
        assert any("goes on from iteration" in line for line in search.lines)
    assert [row["state"] for row in trials(project)] == ["finished"] * (len(few) + 2)


@pytest.mark.long
def test_a_search_of_latency_predicts_every_trial_by_its_study_s_table(project: Path, root: Path) -> None:
    """And `select` takes the front in three values of what it leaves."""
    changes = FOLDER | {
        "search.trials": 2,
        "search.objectives": ["flops", "latency"],
        "search.latency": {"size": "64x48", "runtime": "torch", "threads": 1},
    }
    tiny_profile(project / "params.yaml", changes)
    with searching(project, root) as search:
        assert search.end(200) == 0, search.errors()
        assert any("measures the layers' times on this machine" in line for line in search.lines)
        assert any(re.search(r"finished .* time \d+\.\d% \(M = 27\)", line) for line in search.lines)
    (path,) = (project / ".state" / "search").glob("*/latency.json")
    table = LatencyTable.from_json(json.loads(path.read_text(encoding="utf-8")))
    told = json.loads((project / "search" / "trials.json").read_text(encoding="utf-8"))
    assert told["objectives"] == ["flops", "latency"]
    assert (told["latency"]["device"], told["latency"]["runtime"]) == (table.device, "torch")
    for row in told["trials"]:
        text = (project / "search" / "trials" / row["folder"] / "architecture.json").read_text(encoding="utf-8")
        predicted = predict(table, Architecture.from_json(json.loads(text)), 27)
        assert row["metrics"]["latency_ms"] == pytest.approx(predicted)
        assert row["metrics"]["latency_ratio_m27"] == pytest.approx(predicted / told["latency"]["dense_ms"])
    (parent,) = open_tracker("tiny", project).find({"stage": "search"})
    assert parent.tags["latency.runtime"] == "torch"
    select.work(context(project, changes))
    assert json.loads((project / "search" / "selected.json").read_text(encoding="utf-8"))["pareto"]


@pytest.mark.parametrize(
    ("changes", "environment", "said"),
    [
        ({"search.resources.cpus_per_trial": 1000.0}, {}, "a trial asks for 1000 CPU, this machine has"),
        ({}, {"RAY_ADDRESS": "127.0.0.1:1"}, "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1"),
    ],
    ids=["too large a trial", "no cluster"],
)
def test_what_the_user_can_mend_is_one_line(
    project: Path, root: Path, changes: dict[str, Any], environment: dict[str, str], said: str
) -> None:
    tiny_profile(project / "params.yaml", FOLDER | changes)
    with searching(project, root, **environment) as search:
        assert search.end() == 2
        assert search.errors().startswith(f"search: {'search.resources: ' if changes else ''}{said}")
        assert search.errors().count("\n") == 1
    assert not (project / "search").exists()
