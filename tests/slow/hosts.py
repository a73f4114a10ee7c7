"""Several hosts on one machine: network namespaces on a bridge, whose processes see none of the project's files.

Needs root and iproute2. Only what a test has made is taken down.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.box.postgres import find_program

NET = "10.77.0"
GATEWAY = f"{NET}.1"
VENV = Path(sys.executable).parents[1]

ALONE = """
mount --make-rprivate /
keep=$(mktemp -d /run/hostXXXXXX)
mount --bind {venv} $keep
for place in {hidden}; do mount -t tmpfs none $place; done
mkdir -p {venv}
mount --bind $keep {venv}
cd /tmp
exec "$@"
"""
"""Leaves a host the interpreter and its packages, as an image has them, and an empty folder in place of all others."""


@dataclass
class Host:
    """A network namespace with an address of its own."""

    name: str
    address: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def inside(self) -> list[str]:
        """What a command is begun with to run there."""
        return ["ip", "netns", "exec", self.name]

    def start(self, command: list[str], log: Path, environment: dict[str, str], hidden: list[Path]) -> None:
        """Run a command; with places to hide, in a view of the files of its own."""
        own = []
        if hidden:
            script = ALONE.format(venv=VENV, hidden=" ".join(map(str, hidden)))
            own = ["unshare", "-m", "sh", "-c", script, "sh"]
        with log.open("a") as file:
            self.processes.append(
                subprocess.Popen([*self.inside, *own, *command], env=environment, stdout=file, stderr=file)
            )

    @property
    def trains(self) -> bool:
        """Whether a worker of Ray does something there."""
        return any("Trainable.train" in _command_line(pid) for pid in self._pids())

    def _pids(self) -> list[int]:
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return [int(pid) for pid in listed.stdout.split()]

    def die(self) -> None:
        """Kill all that runs there, at once, as a power cut does."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()


class Hosts:
    """Hosts on a bridge, and a Ray cluster of them; `head` has the project and trains nothing."""

    def __init__(self, folder: Path, root: Path, token: dict[str, str]) -> None:
        self._folder, self._hidden, self._token = folder, [root, Path("/tmp")], token
        self.hosts: list[Host] = []
        self.head = self.add_host()
        self.ray = f"{self.head.address}:6379"
        self._start_node(self.head, 0, [])

    def add_host(self) -> Host:
        """A new namespace, joined to the bridge."""
        number = len(self.hosts) + 2
        host = Host(f"tatsnet-{number}", f"{NET}.{number}")
        outer, inner = f"tn{number}", "eth0"
        run("netns", "add", host.name)
        self.hosts.append(host)
        run("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", host.name)
        run("link", "set", outer, "master", "tatsnet", "up")
        run("-n", host.name, "addr", "add", f"{host.address}/24", "dev", inner)
        for device in (inner, "lo"):
            run("-n", host.name, "link", "set", device, "up")
        return host

    def add_node(self) -> Host:
        """A new host that trains: one core, and nothing of the project on it."""
        host = self.add_host()
        self._start_node(host, 1, self._hidden)
        return host

    def _start_node(self, host: Host, cpus: int, hidden: list[Path]) -> None:
        log = self._folder / f"{host.name}.txt"
        where = [f"--address={self.ray}"] if hidden else ["--head", "--port=6379", "--include-dashboard=false"]
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", "--block", "--disable-usage-stats", f"--node-ip-address={host.address}"]
        host.start([*command, f"--num-cpus={cpus}", *where], log, os.environ | self._token, hidden)
        deadline = time.monotonic() + 90
        while "Ray runtime started" not in (said := log.read_text(encoding="utf-8")):
            assert host.processes[-1].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def end(self) -> None:
        """Take all of them down."""
        for host in reversed(self.hosts):
            host.die()
            run("netns", "del", host.name)


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    return ""


def run(*arguments: str) -> None:
    """`ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def bridge() -> Iterator[None]:
    """The network that hosts are joined to, with this machine at GATEWAY."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and iproute2")
    run("link", "add", "tatsnet", "type", "bridge")
    try:
        run("addr", "add", f"{GATEWAY}/24", "dev", "tatsnet")
        run("link", "set", "tatsnet", "up")
        yield
    finally:
        run("link", "del", "tatsnet")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A database for the hosts of the bridge; its URL for SQLAlchemy."""
    account = pwd.getpwnam("postgres" if "postgres" in {user.pw_name for user in pwd.getpwall()} else "nobody")
    shutil.chown(folder, account.pw_uid, account.pw_gid)
    data, port = folder / "data", 54377
    who = {"user": account.pw_uid, "group": account.pw_gid, "cwd": folder}
    create = [find_program("initdb"), "-D", data, "-U", "driver", "-A", "trust"]
    subprocess.run(create, check=True, capture_output=True, **who)
    with (data / "pg_hba.conf").open("a") as file:
        file.write(f"host all driver {NET}.0/24 trust\n")
    options = [f"-clisten_addresses={GATEWAY}", f"-cport={port}", "-cunix_socket_directories="]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([find_program("postgres"), "-D", data, *options], stdout=log, stderr=log, **who)
    try:
        time.sleep(3)
        assert server.poll() is None, (folder / "log").read_text()
        yield f"postgresql+psycopg2://driver@{GATEWAY}:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
