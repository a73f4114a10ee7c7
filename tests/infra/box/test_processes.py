from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.box.processes import marks, running, start, stop

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(100)"
)
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); print('on'); input()"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop(tmp_path, running(tmp_path), 0.0)


def begin(folder: Path, service: str, *command: str, ready: str = "on") -> None:
    log = folder / f"{service}.log"
    start(folder, service, [sys.executable, "-u", "-c", *command], {"OWN": "told"}, log, folder)
    deadline = time.monotonic() + 20
    while ready not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_service_sees_what_it_is_told_and_no_keys_of_the_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "RAY_AUTH_MODE", "HTTP_PROXY", "PYTHONPATH"):
        monkeypatch.setenv(name, "of the user")
    begin(folder, "one", "import os, time; print(dict(os.environ), 'on'); time.sleep(100)")
    seen = (folder / "one.log").read_text()
    assert "'OWN': 'told'" in seen
    assert "of the user" not in seen
    assert (folder / "one.log").stat().st_mode & 0o777 == 0o600


def test_processes_are_known_by_box_and_service_with_all_that_they_start(folder: Path, tmp_path: Path) -> None:
    begin(folder, "one", STUBBORN)
    start(folder, "two", [sys.executable, "-c", PARENT, STUBBORN], {}, folder / "two.log", folder)
    deadline = time.monotonic() + 20
    while len(running(folder).get("two", ())) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert set(running(folder)) == {"one", "two"}
    assert running(tmp_path / "another") == {}


def test_stopping_kills_what_does_not_end_and_leaves_other_services(folder: Path) -> None:
    begin(folder, "one", STUBBORN)
    begin(folder, "two", "import time; print('on'); time.sleep(100)")
    began = time.monotonic()
    stop(folder, ["two"], 10.0)
    assert time.monotonic() - began < 5, "it ended when it was asked"
    assert set(running(folder)) == {"one"}
    stop(folder, ["one"], 0.3)
    assert running(folder) == {}


def test_who_asks_is_not_among_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in marks(folder, "command").items():
        monkeypatch.setenv(name, value)
    code = (
        "from infra.box.processes import running; import pathlib, sys; print(len(running(pathlib.Path(sys.argv[1]))))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "0"
