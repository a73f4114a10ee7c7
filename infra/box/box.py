"""All services of a box: brought up in their order, taken down in the other."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.box import processes, seaweed
from infra.box.bucket import make_bucket
from infra.box.folder import BUCKET, Folder, write_private
from infra.box.mlflow import Mlflow, require_packages
from infra.box.postgres import Postgres, account_for, find_program
from infra.box.processes import Account
from infra.box.ray import HEAD, WORKERS, Ray
from infra.box.seaweed import Seaweed, find_weed
from infra.box.waiting import free_ports, wait_for
from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json
from pipeline.common.progress import say

SERVICES = ("postgres", "s3", "mlflow", HEAD, *WORKERS)
COMMAND = "command"
"""What `run` runs: stopped before the services."""
_STOPS = ((COMMAND,), WORKERS, (HEAD, "mlflow"), ("postgres", "s3"))
_GRACE_S = {COMMAND: 30.0, "s3": 25.0}
_PATIENCE_S = 120.0
_STALE = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"),
    *("RAY_AUTH_TOKEN", "MLFLOW_TRACKING_TOKEN"),
)
"""What the user has set for other servers, and what would come before the box's own."""
_PORTS = ("postgres", "mlflow", "ray", *seaweed.PORTS, *(f"{name}.grpc" for name in seaweed.PORTS))


@dataclass(frozen=True)
class Box:
    """The services of one project's box.

    Args:
        project: the folder with params.yaml.
        ports: of 127.0.0.1 by name.
    """

    project: Path
    ports: Mapping[str, int]

    @property
    def folder(self) -> Folder:
        return folder_of(self.project)

    @property
    def postgres(self) -> Postgres:
        return Postgres(self.folder, self.ports["postgres"])

    @property
    def s3(self) -> Seaweed:
        return Seaweed(self.folder, {name: self.ports[name] for name in _PORTS[3:]})

    @property
    def mlflow(self) -> Mlflow:
        return Mlflow(self.folder, self.ports["mlflow"], self.postgres, self.s3)

    @property
    def ray(self) -> Ray:
        return Ray(self.folder, self.ports["ray"], self.project.resolve())

    @property
    def client_environment(self) -> dict[str, str]:
        """By which a driver on this machine uses all of it, with the narrow keys of a driver."""
        own = self.mlflow.client_environment | self.ray.client_environment | self.postgres.client_environment
        return (
            own
            | self.s3.environment("driver")
            | {
                "TATSNET_STORE": f"s3://{BUCKET}/{seaweed.PLACE.prefix}",
                "NO_PROXY": "127.0.0.1,localhost",
                "no_proxy": "127.0.0.1,localhost",
            }
        )


def folder_of(project: Path) -> Folder:
    """Where a project's box lies."""
    return Folder(project.resolve() / ".state" / "box")


def require_all() -> None:
    """Refuse a start where a program is missing, before anything is started.

    Raises:
        UserError: which, and how to install it.
    """
    find_program("postgres")
    find_program("initdb")
    find_weed()
    require_packages()


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Only one at a time changes a box; the lock ends with its holder, however that ends.

    Raises:
        UserError: another one does.
    """
    folder.make()
    with folder.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another `python -m infra.box` is at work in {folder.path}: wait for it, or end its run by Ctrl-C"
            ) from error
        yield


def up(project: Path) -> Box:
    """Start every service that a box has; on any failure, or Ctrl-C, none of them is left.

    Raises:
        UserError: a program is missing, or a service does not start.
    """
    require_all()
    folder = folder_of(project)
    folder.make()
    account = account_for(folder.path)
    down(project, quiet=True)
    box = Box(project, dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True)))
    try:
        _start(box, account)
    except BaseException:
        with processes.uninterrupted():
            down(project, quiet=True)
        raise
    return box


def _start(box: Box, account: Account | None) -> None:
    began = time.monotonic()
    say("box  sets up its folder" if not box.postgres.data.exists() else "box  starts")
    box.postgres.prepare(account)
    box.s3.prepare()
    box.mlflow.prepare()
    box.ray.prepare()
    atomic_write_json(box.folder.ports, dict(box.ports))
    launch = partial(_launch, box.folder)
    # Nobody waits for the first of these before the last is launched.
    postgres = launch("postgres", box.postgres.command, {"LC_ALL": "C"}, box.postgres.is_ready, account)
    s3 = launch("s3", box.s3.command, {}, box.s3.is_ready, cwd=box.s3.settings)
    head = _launch_node(box, HEAD)
    postgres()
    s3()
    make_bucket(box.s3)
    mlflow = launch("mlflow", box.mlflow.command, box.mlflow.environment, box.mlflow.is_ready)
    head()
    for worker in WORKERS:
        _launch_node(box, worker)()  # one after the other: two at once take the same name for their sockets
    mlflow()
    write_private(box.folder.environment, _exports(box.client_environment))
    say(f"box  is up after {time.monotonic() - began:.0f} s")


def _launch(
    folder: Folder,
    service: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    is_ready: Callable[[], bool],
    account: Account | None = None,
    cwd: Path | None = None,
) -> Callable[[], None]:
    """Start a service; returns what waits until it is ready."""
    began = time.monotonic()
    log = folder.log(service)
    process = processes.start(folder.path, service, command, environment, log, cwd or folder.path, account)

    def wait() -> None:
        wait_for(service, process, is_ready, log, _PATIENCE_S)
        say(f"box  {service} is ready after {time.monotonic() - began:.1f} s")

    return wait


def _launch_node(box: Box, node: str) -> Callable[[], None]:
    log = box.folder.log(node)
    ready = partial(box.ray.is_ready, node, log.stat().st_size if log.exists() else 0)
    keys = box.s3.environment("worker")
    return _launch(box.folder, node, box.ray.command(node), box.ray.environment | keys, ready)


def _exports(environment: Mapping[str, str]) -> str:
    path = shlex.quote(str(Path(sys.executable).parent))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    return "\n".join([*lines, f'export PATH={path}:"$PATH"', f"unset {' '.join(_STALE)}", ""])


def down(project: Path, quiet: bool = False) -> None:
    """Stop whatever runs of a box, in the order in which nobody misses anybody; returns when nothing is left."""
    folder = folder_of(project)
    began = time.monotonic()
    some = processes.running(folder.path)
    for services in _STOPS:
        if any(service in some for service in services):
            processes.stop(folder.path, services, max(_GRACE_S.get(service, 15.0) for service in services))
    processes.stop(folder.path, processes.running(folder.path), 0.0)
    if folder.ports.exists():
        seaweed.remove_sockets(read_json(folder.ports))
    for path in (folder.ports, folder.environment):
        path.unlink(missing_ok=True)
    if folder.secrets.is_dir():
        Ray(folder, 0, project).remove()
    if not quiet:
        say(f"box  is down after {time.monotonic() - began:.0f} s" if some else "box  is not up: nothing to stop")


def present(project: Path) -> Box | None:
    """The box as it runs now; None where some of its services are missing."""
    folder = folder_of(project)
    if set(SERVICES) - set(processes.running(folder.path)):
        return None
    try:
        return Box(project, read_json(folder.ports))
    except UserError:
        return None


def run(box: Box, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a command that uses the box; it is not yet waited for."""
    environment = {name: value for name, value in os.environ.items() if name not in _STALE}
    environment |= box.client_environment | processes.marks(box.folder.path, COMMAND)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    try:
        return subprocess.Popen(command, cwd=box.project, env=environment, start_new_session=True)
    except OSError as error:
        raise UserError(f"{command[0]} cannot be started ({error.strerror}): check what stands behind --") from error


def describe(folder: Folder) -> str:
    """One line per service: whether it runs, as how many processes, and where."""
    some = processes.running(folder.path)
    ports = json.loads(folder.ports.read_text()) if folder.ports.exists() else {}
    lines = []
    for service in (*SERVICES, *sorted(set(some) - set(SERVICES))):
        port = ports.get("ray" if service == HEAD else service)
        where = f"  127.0.0.1:{port}" if port and service in some else ""
        count = len(some.get(service, ()))
        lines.append(f"  {service:<13} {f'runs ({count})' if count else 'does not run':<13}{where}".rstrip())
    return "\n".join(lines)
