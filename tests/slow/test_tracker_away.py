"""A real MLflow server dies, hangs, and comes back; the stage that records in it hardly waits, and nothing is lost.

Only processes that a test has started are ended or stopped: by the process group that `Popen` gave them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking import last_run_id, open_tracker
from pipeline.tracking.keys import KEY, TRIAL_STAGE
from pipeline.tracking.mlflow_tracker import MlflowTracker
from pipeline.tracking.outbox.store import RecordQueue, queue_folder
from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, TOLD, searching, trials

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]

AWAY_S = float(os.environ.get("TATSNET_AWAY_S", "6"))
"""How long the server is away; 60 for a long look."""

STAGE = """
import json, sys, time
from pathlib import Path
from pipeline.tracking import open_tracker, stage_run

root, waits = Path(sys.argv[1]), []

def timed(call, *args, **more):
    began = time.monotonic()
    value = call(*args, **more)
    waits.append(time.monotonic() - began)
    return value

tracker = open_tracker("queue", root)
with stage_run(tracker, "search", {"a": {"b": 1}}, root=root, key="search.study") as run:
    step = 0
    while not (root / "enough").exists():
        timed(run.metrics, {"loss": step / 7}, step=step)
        if step % 10 == 0:
            tags = {"number": str(step)}
            trial = timed(
                tracker.start, f"trial-{step}", stage="search-trial", tags=tags, parent=timed(lambda: run.id),
                key=f"study.{step}",
            )
            timed(trial.params, {"lambda1": step})
            timed(trial.metrics, {"psnr_db": step / 3})
            timed(trial.text, str(step), "notes/step.txt")
            (root / "figures.json").write_text(str(step))
            timed(trial.artifact, root / "figures.json")
            timed(trial.finish)
        print(step, flush=True)
        step += 1
        time.sleep(0.05)
    last = time.monotonic()
waits.append(time.monotonic() - last)
print(json.dumps({"steps": step, "waited": sum(waits), "longest": max(waits), "end": waits[-1]}), flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """An MLflow server on loopback, over a store in `folder`, that can be started again in the same place."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self, largest: int | None = None) -> None:
        """Start it; `largest` is how many bytes a file of its may have, as on a full disk."""
        store = f"sqlite:///{self._folder / 'server.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "server-artifacts")]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        if largest:
            command = ["prlimit", f"--fsize={largest}", *command]
        with (self._folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while not self.answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
        except OSError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """To the server and its worker."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait(30)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    yield running
    if running._process.poll() is None:
        running.kill()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@contextmanager
def stage(project: Path, root: Path, server: Server | None) -> Iterator[subprocess.Popen[str]]:
    """The stage, after its first twenty steps; it goes on until `told` asks what it has seen."""
    environment = os.environ | {"PYTHONPATH": str(root)} | ({"MLFLOW_TRACKING_URI": server.uri} if server else {})
    command = [sys.executable, "-c", STAGE, str(project)]
    with (project / "err.txt").open("w") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, env=environment, text=True)
    try:
        assert process.stdout is not None
        assert any(line == "20\n" for line in process.stdout), (project / "err.txt").read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def told(process: subprocess.Popen[str], project: Path) -> dict[str, Any]:
    """What the stage says of itself at its end."""
    assert process.stdout is not None
    (project / "enough").touch()
    *_, last = process.stdout
    (project / "enough").unlink()
    assert process.wait(60) == 0, (project / "err.txt").read_text()
    said: dict[str, Any] = json.loads(last)
    print(said, (project / "err.txt").read_text())
    return said


def sent(tracker: MlflowTracker) -> bool:
    return tracker._delivery.flush(120, 60) == 0


def require_all(project: Path, said: dict[str, Any]) -> None:
    """The stage hardly waited; once all is sent, every point is there once, in order, in one run per key."""
    assert said["waited"] < 10
    tracker, steps = open_tracker("queue", project), said["steps"]
    assert sent(tracker)
    client = tracker._client
    (search,) = tracker.find({"stage": "search"})
    assert (search.tags[KEY], search.status) == ("search.study", "FINISHED")
    assert search.id == last_run_id(project, "search")
    require_points(client.get_metric_history(search.id, "loss"), [step / 7 for step in range(steps)])
    trials = {found.tags[KEY]: found for found in tracker.find({"stage": TRIAL_STAGE})}
    assert len(trials) == len(tracker.find({"stage": TRIAL_STAGE})) == len(range(0, steps, 10))
    for step in range(0, steps, 10):
        trial = trials[f"study.{step}"]
        assert (trial.status, trial.params) == ("FINISHED", {"lambda1": str(step)})
        assert trial.tags["mlflow.parentRunId"] == search.id
        require_points(client.get_metric_history(trial.id, "psnr_db"), [step / 3])
        assert kept(client, trial.id, "figures.json") == kept(client, trial.id, "notes/step.txt") == str(step)


def require_points(points: list[Any], values: list[float]) -> None:
    assert [point.value for point in points] == values
    assert [point.step for point in points] == list(range(len(values)))
    times = [point.timestamp for point in points]
    assert times == sorted(times)


def kept(client: Any, run_id: str, name: str) -> str:
    return Path(client.download_artifacts(run_id, name)).read_text(encoding="utf-8")


def test_a_killed_server_that_is_started_again(server: Server, project: Path, root: Path) -> None:
    with stage(project, root, server) as process:
        server.kill()
        time.sleep(AWAY_S)
        server.start()
        time.sleep(3)
        said = told(process, project)
    require_all(project, said)


@pytest.mark.parametrize("limit_s", ["2", "20"], ids=["requests are given up", "a request outlasts it"])
def test_a_hung_server_that_goes_on(
    server: Server, project: Path, root: Path, limit_s: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", limit_s)
    with stage(project, root, server) as process:
        server.signal(signal.SIGSTOP)
        time.sleep(AWAY_S)
        server.signal(signal.SIGCONT)
        time.sleep(3)
        said = told(process, project)
    require_all(project, said)


def test_a_server_whose_disk_is_full_for_a_while(server: Server, project: Path, root: Path, tmp_path: Path) -> None:
    server.kill()
    server.start(largest=(tmp_path / "server.db").stat().st_size)
    with stage(project, root, server) as process:
        queue = RecordQueue(queue_folder(project, server.uri))
        deadline = time.monotonic() + 60
        while queue.waiting() < 100:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        server.kill()
        server.start()
        said = told(process, project)
    require_all(project, said)


def test_a_default_store_that_is_locked_for_longer_than_mlflow_waits(project: Path, root: Path) -> None:
    with stage(project, root, None) as process:
        with closing(sqlite3.connect(project / "mlflow.db", timeout=30)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(25)
        time.sleep(3)
        said = told(process, project)
    warned = (project / "err.txt").read_text()
    assert warned.count("the tracker cannot be reached") == 1
    assert "Traceback" not in warned
    require_all(project, said)


def test_a_server_that_hangs_until_the_stage_has_ended(server: Server, project: Path, root: Path) -> None:
    with stage(project, root, server) as process:
        server.signal(signal.SIGSTOP)
        time.sleep(2)
        said = told(process, project)
    warned = (project / "err.txt").read_text()
    assert "records for the tracker wait in" in warned
    assert last_run_id(project, "search")
    server.signal(signal.SIGCONT)
    require_all(project, said)


def test_a_stage_that_is_killed_while_the_server_is_away(server: Server, project: Path, root: Path) -> None:
    with stage(project, root, server) as process:
        server.kill()
        assert process.stdout is not None
        assert any(line == "60\n" for line in process.stdout)
        process.kill()
        steps = 1 + max([60, *(int(line) for line in process.stdout)])
    waiting = RecordQueue(queue_folder(project, server.uri)).waiting()
    assert waiting > 30
    server.start()
    with stage(project, root, server) as process:
        again = told(process, project)
    assert again["waited"] < 10
    tracker = open_tracker("queue", project)
    assert sent(tracker)
    (search,) = tracker.find({"stage": "search"})
    points = tracker._client.get_metric_history(search.id, "loss")
    values = [point.value for point in sorted(points, key=lambda point: point.timestamp)]
    before = len(values) - again["steps"]
    assert before in (steps, steps + 1), "what was recorded, and perhaps one that was not told any more"
    assert values == [step / 7 for step in [*range(before), *range(again["steps"])]]
    trials = [found.tags[KEY] for found in tracker.find({"stage": TRIAL_STAGE})]
    assert len(trials) == len(set(trials))
    surely = {f"study.{step}" for step in range(0, max(steps, again["steps"]), 10)}
    assert surely <= set(trials) <= surely | {f"study.{steps}"}


def test_a_search_goes_on_while_its_server_hangs_and_dies(
    server: Server, prepared: Path, root: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(prepared, tmp_path / "searched"))
    tiny_profile(place / "params.yaml", FOLDER | {"search.trials": 4, "search.schedule.iterations": 400})
    with searching(place, root) as search:
        search.until(TOLD.pattern)
        server.signal(signal.SIGSTOP)
        hung_at = len(search.lines)
        time.sleep(AWAY_S)
        told = len(search.lines) - hung_at
        server.signal(signal.SIGCONT)
        search.until(r"trial \d+ finished")
        server.kill()
        time.sleep(AWAY_S)
        server.start()
        assert search.end(200) == 0, search.told()
        print(told, search.errors())
    assert told > 0, "the trials went on while the server hung"
    tracker = open_tracker("tiny", place)
    assert sent(tracker)
    (parent,) = tracker.find({"stage": "search"})
    assert (parent.id, parent.status) == (last_run_id(place, "search"), "FINISHED")
    children = tracker.find({"stage": TRIAL_STAGE})
    rows = {str(row["number"]): row for row in trials(place)}
    assert sorted(child.tags["number"] for child in children) == sorted(rows)
    for child in children:
        assert (child.status, child.tags["mlflow.parentRunId"]) == ("FINISHED", parent.id)
        (point,) = tracker._client.get_metric_history(child.id, "psnr_db")
        assert point.value == rows[child.tags["number"]]["metrics"]["psnr_db"]
        assert float(child.params["lambda1"]) == rows[child.tags["number"]]["lambda1"]
    assert kept(tracker._client, parent.id, "trials.json") == (place / "search" / "trials.json").read_text("utf-8")
