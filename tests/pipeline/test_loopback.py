from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.box.__main__ import main as box
from pipeline.commands.loopback import require_loopback
from pipeline.commands.ui import main as ui
from pipeline.common.errors import UserError

OPEN = [
    "0.0.0.0",
    "::",
    "",
    " ",
    "0",
    "127.1",
    "0x7f000001",
    "2130706433",
    "127.0.0.1 ",
    "127.0.0.1.example.org",
    "127.0.0.1,0.0.0.0",
    "localhost.example.org",
    "LOCALHOST.",
    "8.8.8.8",
    "192.168.0.1",
    "169.254.169.254",
    "::ffff:0.0.0.0",
    "fe80::1",
    "*",
    "unix:/tmp/socket",
    socket.gethostname(),
]
LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", "localhost"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_what_only_this_machine_reaches(host: str) -> None:
    require_loopback(host, "would be open")


@pytest.mark.parametrize("host", [host for host in OPEN if host not in LOOPBACK])
def test_what_others_may_reach_is_refused(host: str) -> None:
    with pytest.raises(UserError, match=r"^--host .+ would be open"):
        require_loopback(host, "would be open")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "127.1"])
def test_the_servers_of_this_project_refuse_it_before_anything_else(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="would show the runs to the network without a password"):
        ui(["--host", host], tmp_path)
    for command in ("up", "run"):
        assert box(["--project", str(tmp_path), command, "--host", host]) == 2
        assert capsys.readouterr().err.startswith(f"box: --host {host or repr('')} would show the box to the network")
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_it_is_one_message_and_exit_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.box", "--project", str(tmp_path), "up", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
