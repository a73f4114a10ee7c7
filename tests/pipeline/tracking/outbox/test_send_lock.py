"""One process sends at a time, and the next one hears if it was killed at that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tracking.outbox.send_lock import hold_send_lock


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    with hold_send_lock(tmp_path / "lock") as first, hold_send_lock(tmp_path / "lock") as second:
        assert first is not None
        assert second is None
    with hold_send_lock(tmp_path / "lock") as third:
        assert third is not None


def test_nothing_is_in_doubt_after_a_good_end(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_send_lock(tmp_path / "lock") as held:
            assert held is not None
            assert not held.doubtful


def test_a_child_forked_meanwhile_does_not_keep_the_turn(tmp_path: Path, root: Path) -> None:
    code = """
import os, signal, sys, time
from pathlib import Path
from pipeline.tracking.outbox.send_lock import hold_send_lock
with hold_send_lock(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
with hold_send_lock(Path(sys.argv[1])) as again:
    print(again)
os.kill(child, signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    assert subprocess.check_output(command, cwd=root, text=True, timeout=30) == "SendLock(doubtful=False)\n"


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "held.doubtful = True", "raise ValueError"])
def test_something_is_in_doubt_after_a_bad_one(tmp_path: Path, root: Path, end: str) -> None:
    code = "import os, sys\nfrom pathlib import Path\nfrom pipeline.tracking.outbox.send_lock import hold_send_lock\n"
    code += f"with hold_send_lock(Path(sys.argv[1])) as held:\n    {end}"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], cwd=root, capture_output=True)
    with hold_send_lock(tmp_path / "lock") as held:
        assert held is not None
        assert held.doubtful
