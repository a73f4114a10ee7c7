"""The processes of a box. Each carries the box's folder in its environment, so none is ever lost or mistaken."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_BOX = "TATSNET_BOX"
_SERVICE = "TATSNET_BOX_SERVICE"
_FIRST = {"postgres": signal.SIGINT, "command": signal.SIGINT}
"""How to ask; Postgres would wait for its clients to leave if it were asked by SIGTERM."""
_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Whom a service runs as, where that is not the one who starts it."""

    name: str
    uid: int
    gid: int


def start(
    folder: Path,
    service: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    cwd: Path,
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start a service that outlives this process; what it prints goes to the end of its log.

    It sees of this process's environment only what every program needs: no keys, no proxies, no settings of servers.

    Args:
        folder: the box it belongs to.
        environment: what it is told besides.
    """
    clean = {name: os.environ[name] for name in _KEPT if name in os.environ}
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as output:
        return subprocess.Popen(
            command,
            env=clean | dict(environment) | marks(folder, service),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def marks(folder: Path, service: str) -> dict[str, str]:
    """The variables by which a process, and all that it starts, is known to belong to a box."""
    return {_BOX: str(folder.resolve()), _SERVICE: service}


def running(folder: Path) -> dict[str, list[psutil.Process]]:
    """The living processes of a box by service, this one and those that wait for it left out."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(_BOX) != str(folder.resolve()) or process.pid in mine:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(environment.get(_SERVICE, ""), []).append(process)
    return found


def stop(folder: Path, services: Iterable[str], grace_s: float) -> None:
    """Ask the services' processes to end, then kill what is left; returns when none is.

    Only the eldest of each service are asked: they end their own children in the order that they need.
    """
    wanted = set(services)

    def left() -> list[psutil.Process]:
        return [process for name, group in running(folder).items() if name in wanted for process in group]

    for name, group in running(folder).items():
        pids = {process.pid for process in group}
        for process in group if name in wanted else ():
            with suppress(psutil.Error):
                if process.ppid() not in pids:
                    process.send_signal(_FIRST.get(name, signal.SIGTERM))
    present = left()
    deadline = time.monotonic() + grace_s
    while present and time.monotonic() < deadline:
        time.sleep(0.1)
        present = left()
    while present := left():
        for process in present:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.1)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """What is stopped in the block is stopped whole: a second Ctrl-C is not heard."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
