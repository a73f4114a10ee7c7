from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.box.waiting import answers, free_ports, wait_for
from pipeline.common.errors import UserError


def test_free_ports_are_different_and_can_be_bound() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_nobody_answers_at_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_ports(1)[0]}/health")


@pytest.mark.parametrize(
    ("code", "patience_s", "said"),
    [
        ("print('no such file: x'); raise SystemExit(7)", 20.0, "ended with 7 instead of starting"),
        ("print('no such file: x', flush=True); import time; time.sleep(100)", 1.0, "is not ready after 1 s"),
    ],
)
def test_what_does_not_start_is_told_with_the_end_of_its_log(
    tmp_path: Path, code: str, patience_s: float, said: str
) -> None:
    log = tmp_path / "one.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=output)
    try:
        with pytest.raises(UserError, match=f"one {said}; the end of .*one.log:\nno such file: x"):
            wait_for("one", process, lambda: False, log, patience_s)
    finally:
        process.kill()
        process.wait()
