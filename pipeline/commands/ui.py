"""`python -m pipeline ui`: MLflow's interface on this project's runs, and one link to the Pareto view."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType

from pipeline.commands.loopback import require_loopback
from pipeline.common.errors import UserError
from pipeline.common.layout import STATE, home
from pipeline.config import load
from pipeline.tracking import (
    STORE_VARIABLE,
    Tracker,
    experiment_link,
    front_link,
    has_pareto_view,
    open_tracker,
    pareto_view,
    store_file,
    tracking_uri,
    view_link,
)
from pipeline.tracking.keys import STAGE, TRIAL_STAGE

APP = "tatsnet"
"""Our entry point among `mlflow.app`: see pipeline/tracking/front_route.py."""

_START_S = 90.0
_STOP_S = 10.0
_TAIL = 12
_OF_SERVERS = ("GUNICORN_", "UVICORN_", "MLFLOW_GUNICORN_", "MLFLOW_UVICORN_", "MLFLOW_SERVER_", "MLFLOW_HOST")


def main(argv: Sequence[str] = (), root: Path = Path()) -> int:
    """Serve until Ctrl-C, or print the link to the server that `MLFLOW_TRACKING_URI` names.

    Args:
        argv: what stands behind `ui` on the command line.
        root: the project folder, with params.yaml.

    Returns:
        The exit status.

    Raises:
        UserError: nothing is recorded yet, MLFLOW_TRACKING_URI holds a password, the host is not loopback, the port is
            taken, the server does not start.
    """
    arguments = _parser().parse_args(argv)
    require_loopback(
        arguments.host,
        "would show the runs to the network without a password: keep 127.0.0.1 and reach it by "
        "`ssh -L 5000:127.0.0.1:5000 HOST`, or run a server with authentication and set MLFLOW_TRACKING_URI",
    )
    tracker = _tracker_with_runs(load(root / "params.yaml").tracking.experiment, root)
    if tracker.uri.startswith(("http://", "https://")):
        print(
            f"MLFLOW_TRACKING_URI names a server that runs already. Open:\n  {_link(tracker, tracker.uri, own=False)}"
        )
        return 0
    port = arguments.port or _free_port(arguments.host)
    _require_free(arguments.host, port)
    base = f"http://{_in_url(arguments.host)}:{port}"
    log = home(root) / STATE / "mlflow-server.log"
    try:
        own = _has_front_route()
        with _server(tracker, arguments.host, port, root, log, own) as server:
            _wait_for(server, base, log)
            print(f"MLflow is running; Ctrl-C stops it. Open:\n  {_link(tracker, base, own=own)}", flush=True)
            server.wait()
    except KeyboardInterrupt:
        print("\nMLflow is stopped")
        return 0
    raise UserError(f"the MLflow server ended by itself; the end of {log}:\n{_tail(log)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline ui",
        description="Start MLflow on this project's runs and print one link to the Pareto view.",
        epilog="Example: python -m pipeline ui --port 0",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="0 picks a free one (default: %(default)s)")
    return parser


def _tracker_with_runs(experiment: str, root: Path) -> Tracker:
    uri = tracking_uri(root)
    nothing = f"nothing is recorded in {uri} yet: run `make repro` (or `dvc repro`) first"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not store_file(root).is_file():
        raise UserError(nothing)
    tracker = open_tracker(experiment, root)
    if not tracker.find():
        raise UserError(nothing)
    return tracker


def _link(tracker: Tracker, base: str, *, own: bool) -> str:
    """Where to begin: the page of the search that runs or ran last, which a server of ours shows by itself."""
    front = front_link(base, tracker)
    if front:
        return f"{base}/front" if own else front
    if not tracker.find({STAGE: TRIAL_STAGE}):
        return experiment_link(base, tracker.experiment_id)
    if not has_pareto_view(tracker):
        pareto_view(tracker)
    return view_link(base, tracker.experiment_id)


def _has_front_route() -> bool:
    """Whether MLflow finds our page: it does once this project is installed, not merely on the path."""
    return bool(entry_points(group="mlflow.app", name=APP))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _free_port(host: str) -> int:
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _require_free(host: str, port: int) -> None:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"port {port} of {host} cannot be used ({error}): stop what uses it, or choose another with "
                "`python -m pipeline ui --port 0`"
            ) from error


@contextmanager
def _server(
    tracker: Tracker, host: str, port: int, root: Path, log: Path, own: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """The server in a process group of its own, which ends with the block."""
    name = _in_url(host)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracker.uri, "--host", host]
    command += ["--port", str(port), "--workers", "1", "--artifacts-destination", str(home(root) / "mlartifacts")]
    command += ["--allowed-hosts", f"{name}:{port},localhost:{port},127.0.0.1:{port}"]
    command += ["--app-name", APP] if own else []
    quiet = {
        STORE_VARIABLE: f"{tracker.uri} {tracker.experiment_id}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",  # whatever the user's environment says
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_environment() | quiet, start_new_session=True
        )
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield server
    finally:
        _stop(server)
        signal.signal(signal.SIGTERM, before)


def _environment() -> dict[str, str]:
    """This process's environment, less what could make the server listen or answer elsewhere than `--host` says."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_SERVERS)}


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue


def _wait_for(server: subprocess.Popen[bytes], base: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            direct.open(f"{base}/health", timeout=2).close()
        except (OSError, HTTPException):
            time.sleep(0.2)
        else:
            return
    raise UserError(f"the MLflow server did not start; the end of {log}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])
