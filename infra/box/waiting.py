"""Waiting until a service is ready, and saying why where it never is."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from pipeline.common.errors import UserError

_TAIL = 12
_STEP_S = 0.1


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    probes = []
    try:
        for _ in range(count):
            probes.append(socket.create_server(("127.0.0.1", 0)))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def answers(url: str) -> bool:
    """Whether a server answers there at all, by whatever status; proxies are passed by."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, HTTPException):
        return False
    return True


def wait_for(
    name: str, process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path, patience_s: float
) -> None:
    """Wait until a service is ready.

    Raises:
        UserError: it ended, or is not ready in time; with the end of its log.
    """
    deadline = time.monotonic() + patience_s
    while not is_ready():
        status = process.poll()
        if status is not None:
            raise UserError(f"{name} ended with {status} instead of starting; the end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise UserError(f"{name} is not ready after {patience_s:g} s; the end of {log}:\n{tail(log)}")
        time.sleep(_STEP_S)


def tail(log: Path) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])
    except OSError as error:
        return f"(there is none: {error.strerror})"
