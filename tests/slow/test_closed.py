"""Attacks on a search's own Ray: nobody without its token is let in, and nobody from elsewhere hears it."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, searching, session_of, trainers, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]

SESSION = re.compile(r"(/[^\0= ]*/tatsnet-\w{8})/ray/session_")

ATTACK = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
@ray.remote
def work():
    return "stolen"
print(ray.get(work.remote()))
"""


def listening(leader: int) -> set[tuple[str, int]]:
    """Address, in hexadecimal, and port where processes of a session listen."""
    return set().union(*(listening_of(pid) for pid, _ in session_of(leader)))


def listening_of(pid: int) -> set[tuple[str, int]]:
    """The same of one process."""
    found = set()
    sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                address, port = local.split(":")
                found.add((address, int(port, 16)))
    return found


def gcs(leader: int) -> int:
    """The process that takes a session's work."""
    (pid,) = [pid for pid, name in session_of(leader) if "gcs_server" in name.split("\0")[0]]
    return pid


def attack(port: int, token: dict[str, str], home: Path) -> str:
    """What a process of another user would see: the work's result, or the error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"HOME": str(home), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # reaches loopback at all
    command = [sys.executable, "-c", ATTACK, f"127.0.0.1:{port}"]
    done = subprocess.run(command, env=environment | token, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_a_search_of_one_s_own_is_closed(project: Path, root: Path, tmp_path: Path) -> None:
    changes = {"search.schedule.iterations": 10**6, "search.resources.cpus_per_trial": 0.5}  # room for a third task
    tiny_profile(project / "params.yaml", FOLDER | changes)
    opened = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    }  # by themselves: open to the network
    with searching(project, root, **opened) as search:
        wait_for(lambda: bool(trainers(search.process.pid)), "a trial that trains, and goes on to")
        places = listening(search.process.pid)
        assert places
        loopback = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
        assert {address for address, _ in places} <= set(loopback)
        (port,) = {port for _, port in listening_of(gcs(search.process.pid))}
        for token in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
            said = attack(port, token, tmp_path)
            assert "stolen" not in said
            assert "InvalidAuthToken" in said
        own = Path(f"/proc/{gcs(search.process.pid)}/environ").read_text(encoding="utf-8").split("\0")
        token = dict(entry.split("=", 1) for entry in own if entry.startswith("RAY_AUTH_"))
        assert "stolen" in attack(port, token, tmp_path), "with the token the same attack works"
        time.sleep(1)
        assert search.process.poll() is None, "the search goes on"
        (folder,) = {name for _, line in session_of(search.process.pid) for name in SESSION.findall(line)}
        private = Path(folder)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700, "no other account reaches the sockets of Ray"
        assert private.stat().st_uid == os.getuid()
        secret = [name for _, name in session_of(search.process.pid) if "RAY_AUTH_TOKEN" in name]
        assert not secret, "no command line holds the token"
        search.process.send_signal(signal.SIGINT)
        search.process.wait(60)
    assert not private.exists(), "what Ray wrote goes with the search"
