"""Real searches as processes, and a real Ray cluster, for the tests that kill them.

Only processes that a test has started are killed: by the id that `Popen` gave, or found by its session.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

TOLD = re.compile(r"search  trial (\d+)  (\d+)/(\d+) ")


FOLDER = {"data.source": "folder", "data.folder": "photos"}


def session_of(leader: int) -> Iterator[tuple[int, str]]:
    """The processes of a session: id and command line."""
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(place.name)) == leader:
                yield int(place.name), (place / "cmdline").read_text()


def trainers(leader: int) -> list[int]:
    """The processes of a session that train a trial."""
    return [pid for pid, name in session_of(leader) if "Trainable" in name]


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = 90.0) -> None:
    """Look until it holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {patience_s:g} s"
        time.sleep(0.05)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a session that a test has started."""
    process.kill()
    for pid, _ in session_of(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


class Search:
    """The search stage as a process in a session of its own; it writes into files, which no orphan keeps open."""

    def __init__(
        self, root: Path, source: Path, stage: str = "search", before: Sequence[str] = (), **environment: str
    ) -> None:
        place = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(source)} | environment
        module = ["pipeline", stage] if stage == "worker" else [f"pipeline.stages.{stage}"]
        folder = Path(tempfile.mkdtemp(prefix=stage, dir=root))
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", *module],
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
def staging(stage: str, root: Path, source: Path, before: Sequence[str] = (), **environment: str) -> Iterator[Search]:
    """A stage, or a worker, in a process of its own, which ends with the block.

    Args:
        before: a command that starts it elsewhere.
    """
    running = Search(root, source, stage, before, **environment)
    try:
        yield running
    finally:
        end_session(running.process)


searching = partial(staging, "search")


def trials(root: Path) -> Any:
    return json.loads((root / "search" / "trials.json").read_text(encoding="utf-8"))["trials"]


def suggested(variant: str, lambda1: float) -> dict[str, Any]:
    return {"variant": variant, "lambda1": lambda1, "lambda2": 1e-4, "gamma": 0.9}


def kill(search: Search) -> None:
    search.process.kill()
    assert search.end() == -signal.SIGKILL
    end_session(search.process)


def kept(root: Path, what: str) -> list[Path]:
    """What lies in the project's store."""
    return list((root / ".state" / "search").glob(f"*/store/{what}"))


class Cluster:
    """A Ray cluster of several raylets on this machine, as a team would have it running.

    Attributes:
        address: for RAY_ADDRESS.
        nodes: their processes, the head first.
    """

    def __init__(self, log: Path, place: Path, environment: dict[str, str]) -> None:
        self._log, self._place, self._environment = log, place, environment
        self.nodes: list[subprocess.Popen[bytes]] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    @property
    def head(self) -> subprocess.Popen[bytes]:
        """The first node."""
        return self.nodes[0]

    def add(self, cpus: int, **environment: str) -> subprocess.Popen[bytes]:
        """Another node; the first is the head."""
        if self.nodes:
            options = [f"--address={self.address}"]
        else:
            port = self.address.split(":")[1]
            options = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._place}"]
        with self._log.open("a") as log:
            node = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("ray")),
                    *("start", "--block", "--disable-usage-stats"),
                    *("--node-ip-address=127.0.0.1", f"--num-cpus={cpus}", *options),
                ],
                env=os.environ | self._environment | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.nodes.append(node)
        deadline = time.monotonic() + 60
        while (said := self._log.read_text(encoding="utf-8")).count("Ray runtime started") < len(self.nodes):
            assert node.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        return node


@contextlib.contextmanager
def ray_cluster(root: Path, token: dict[str, str], head_cpus: int = 2) -> Iterator[Cluster]:
    """A cluster of a head alone, whose nodes end with the block."""
    # A short folder, because Ray's sockets lie below it and their paths are limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as place:
        cluster = Cluster(root / "ray.txt", Path(place), token)
        try:
            cluster.add(head_cpus)
            yield cluster
        finally:
            for node in reversed(cluster.nodes):
                end_session(node)
