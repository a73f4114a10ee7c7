"""One process sends at a time, and the next one hears if it was killed at that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tracking.outbox.send_lock import turn_to_send


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    with turn_to_send(tmp_path / "lock") as first, turn_to_send(tmp_path / "lock") as second:
        assert first is not None
        assert second is None
    with turn_to_send(tmp_path / "lock") as third:
        assert third is not None


def test_nothing_is_in_doubt_after_a_good_end(tmp_path: Path) -> None:
    for _ in range(2):
        with turn_to_send(tmp_path / "lock") as turn:
            assert turn is not None
            assert not turn.doubtful


def test_a_child_forked_meanwhile_does_not_keep_the_turn(tmp_path: Path, root: Path) -> None:
    code = """
import os, signal, sys, time
from pathlib import Path
from pipeline.tracking.outbox.send_lock import turn_to_send
with turn_to_send(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
with turn_to_send(Path(sys.argv[1])) as again:
    print(again)
os.kill(child, signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    assert subprocess.check_output(command, cwd=root, text=True, timeout=30) == "Turn(doubtful=False)\n"


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "turn.doubtful = True", "raise ValueError"])
def test_something_is_in_doubt_after_a_bad_one(tmp_path: Path, root: Path, end: str) -> None:
    code = "import os, sys\nfrom pathlib import Path\nfrom pipeline.tracking.outbox.send_lock import turn_to_send\n"
    code += f"with turn_to_send(Path(sys.argv[1])) as turn:\n    {end}"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], cwd=root, capture_output=True)
    with turn_to_send(tmp_path / "lock") as turn:
        assert turn is not None
        assert turn.doubtful
