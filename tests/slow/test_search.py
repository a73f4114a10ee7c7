"""Real searches, on a real Ray, ended by divergence, SIGKILL, Ctrl-C and dying workers: the count stays exact.

Only processes that a test has started are killed: by the id that `Popen` gave, or found by its session.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.search.space import Point
from pipeline.search.trial import Trial
from pipeline.stages import degrade, download, pretrain, select
from pipeline.stages.search import make_job
from pipeline.tracking import last_run_id, open_tracker
from pipeline.tracking.keys import TRIAL_STAGE
from tatsnet.architecture import Architecture
from tatsnet.checkpoint import load_masked
from tatsnet.degradation import evaluation_grid
from tatsnet.latency_model import LatencyTable, predict
from tests.pipeline.stages.project import context
from tests.profiles.tiny import tiny_photos, tiny_profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOLDER = {"data.source": "folder", "data.folder": "photos"}
TASKS = [degradation.task for degradation in evaluation_grid()]
POINT = ("variant", "lambda1", "lambda2", "gamma")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder as the stages before the search leave it."""
    root = tmp_path_factory.mktemp("prepared")
    tiny_photos(root / "photos")
    made = context(root, FOLDER | {"data.folder": str(root / "photos")})
    for stage in (download, degrade, pretrain):
        stage.work(made)
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "project"))


def session_of(leader: int) -> Iterator[tuple[int, str]]:
    """The processes of a session: id and command line."""
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(place.name)) == leader:
                yield int(place.name), (place / "cmdline").read_text()


def trainers(leader: int) -> list[int]:
    """The processes of a session that train a trial."""
    return [pid for pid, name in session_of(leader) if "Trainable" in name]


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a session that a test has started."""
    process.kill()
    for pid, _ in session_of(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


class Search:
    """The search stage as a process in a session of its own; it writes into files, which no orphan keeps open."""

    def __init__(self, root: Path, source: Path, **environment: str) -> None:
        place = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(source)} | environment
        self._out, self._err = root / "out.txt", root / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.stages.search"],
                cwd=root,
                env=place,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def lines(self) -> list[str]:
        """What it has said so far."""
        return self._out.read_text(encoding="utf-8").splitlines()

    def until(self, pattern: str, patience_s: float = 90.0) -> None:
        """Wait for a line that matches."""
        deadline = time.monotonic() + patience_s
        while not any(re.search(pattern, line) for line in self.lines):
            assert self.process.poll() is None, f"ended without {pattern!r}: {self.told()}"
            assert time.monotonic() < deadline, f"no {pattern!r} within {patience_s:g} s: {self.told()}"
            time.sleep(0.05)

    def end(self, patience_s: float = 90.0) -> int:
        """Wait for the end; the exit status."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still runs after {patience_s:g} s: {self.told()}") from error

    def told(self) -> str:
        """Everything it said, for a failed test."""
        return "\n".join(self.lines) + self.errors()

    def errors(self) -> str:
        """What it wrote to stderr, less MLflow's note that it makes its tables."""
        lines = self._err.read_text(encoding="utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if " INFO mlflow" not in line)


@contextlib.contextmanager
def searching(root: Path, source: Path, **environment: str) -> Iterator[Search]:
    search = Search(root, source, **environment)
    try:
        yield search
    finally:
        end_session(search.process)


def trials(root: Path) -> Any:
    return json.loads((root / "search" / "trials.json").read_text(encoding="utf-8"))["trials"]


def suggested(variant: str, lambda1: float) -> dict[str, Any]:
    return {"variant": variant, "lambda1": lambda1, "lambda2": 1e-4, "gamma": 0.9}


@pytest.fixture(scope="module")
def diverged(prepared: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A search of which two trials are wanted and the first of three overflows: its folder, and what it said."""
    place = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("diverged") / "project"))
    changes = {
        "search.trials": 2,
        "search.space.lambda1": {"low": 1e-3, "high": 1e39},
        "search.suggestions": [suggested("TSNet", 1e39), suggested("TSNet", 1e-2), suggested("TA+TSNet", 1e-2)],
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
            assert Architecture.from_json(json.loads(text)) == model.architecture(TASKS)
            assert row["metrics"]["shared_layers_pct"] == model.architecture(TASKS).shared_percent
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


def test_kills_and_an_interrupt_change_neither_the_count_nor_the_networks(project: Path, root: Path) -> None:
    changes = FOLDER | {
        "search.trials": 4,
        "search.schedule.iterations": 400,
        "search.resources.max_failures": 2,
    }
    tiny_profile(project / "params.yaml", changes)

    with searching(project, root) as search:
        search.until(r"trial \d+ finished")
        search.until(r"trial \d+  \d+/400 ")
        search.process.kill()
        assert search.end() == -signal.SIGKILL
    assert not (project / "search" / "trials.json").exists()

    with searching(project, root) as search:
        search.until(r"goes on with a study of [123] finished trials")
        search.until(r"trial \d+  \d+/400 ")
        os.killpg(search.process.pid, signal.SIGINT)
        assert search.end() == 130, search.errors()
        assert re.fullmatch(r"search: interrupted; .*\n", search.errors())
        time.sleep(1)
        assert not trainers(search.process.pid)
    assert not (project / "search" / "trials.json").exists()

    with searching(project, root) as search:
        search.until(r"trial \d+  \d+/400 ")
        os.kill(trainers(search.process.pid)[0], signal.SIGKILL)
        assert search.end() == 0, search.errors()

    rows = trials(project)
    assert [row["state"] for row in rows] == ["finished"] * 4, "none is missing, doubled, or failed by its kill"
    points = [tuple(row[name] for name in POINT) for row in rows]
    assert len(set(points)) == 4
    assert {point[:2] for point in points} >= {("TSNet", 1e-2), ("TA+TSNet", 1e-2)}, "the suggestions were tried"
    assert {path.name for path in (project / "search" / "trials").iterdir()} == {row["folder"] for row in rows}

    tracker = open_tracker("tiny", project)
    (parent,) = tracker.find({"stage": "search"})
    assert (parent.id, parent.status) == (last_run_id(project, "search"), "FINISHED")
    children = tracker.find({"stage": TRIAL_STAGE})
    assert sorted(int(child.tags["number"]) for child in children) == [row["number"] for row in rows]
    assert {child.status for child in children} == {"FINISHED"}
    assert {child.tags["mlflow.parentRunId"] for child in children} == {parent.id}

    last = rows[-1]
    torch.set_num_threads(1)
    params = context(project, changes)
    undisturbed = Trial(make_job(params), Point(**{name: last[name] for name in POINT}), params.params.search.seed)
    for _ in iter(undisturbed.advance, None):
        pass
    assert undisturbed.measure()["psnr_db"] == pytest.approx(last["metrics"]["psnr_db"], abs=0.02)


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
        assert any(re.search(r"finished .* time \d+\.\d % \(M = 27\)", line) for line in search.lines)
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


@contextlib.contextmanager
def ray_cluster(root: Path, token: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Ray head as a team would have it running: its process, and the address for RAY_ADDRESS."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ray = str(Path(sys.executable).with_name("ray"))
    # Short, because Ray's sockets lie below it and their paths are limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray") as place, (root / "ray.txt").open("w") as log:
        options = ["--include-dashboard=false", "--num-cpus=2", "--disable-usage-stats", f"--temp-dir={place}"]
        host, port = address.split(":")
        head = subprocess.Popen(
            [ray, "start", "--head", "--block", f"--node-ip-address={host}", f"--port={port}", *options],
            env=os.environ | token,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 60
            while "Ray runtime started" not in (said := (root / "ray.txt").read_text(encoding="utf-8")):
                assert head.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.1)
            yield head, address
        finally:
            end_session(head)


def test_the_trials_run_on_the_cluster_that_ray_address_names(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.trials": 2, "search.schedule.iterations": 400})
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ray_cluster(project, token) as (head, address):
        wrong = token | {"RAY_AUTH_TOKEN": "0" * 64}
        with searching(project, root, RAY_ADDRESS=address, **wrong) as refused:
            assert refused.end() == 2
            assert f"cannot use the Ray cluster at RAY_ADDRESS={address}" in refused.errors()
            assert "RAY_AUTH_TOKEN" in refused.errors()

        with searching(project, root, RAY_ADDRESS=address, **token) as search:
            search.until(r"trial \d+  \d+/400 ")
            assert trainers(head.pid)
            assert not trainers(search.process.pid)
            assert search.end() == 0, search.told()
            assert not search.errors()
        assert head.poll() is None, "the cluster is left running"
    assert [row["state"] for row in trials(project)] == ["finished"] * 2
