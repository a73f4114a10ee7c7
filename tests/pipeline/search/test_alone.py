"""One driver per study; tests/slow/test_box.py has the Postgres one."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.search.study.lock import FileLock, alone, is_free

HOLD = """
import sys, time
from pathlib import Path
from pipeline.search.study.lock import FileLock, alone
with alone(FileLock(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_refused_as_long_as_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "study.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another search works on this study"), alone(FileLock(path)):
            pass
        first.kill()
    with alone(FileLock(path)):
        pass


def test_it_may_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        with alone(FileLock(tmp_path / "study.lock")):
            pass


def test_whoever_is_patient_gets_it_when_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    held = FileLock(path)
    held.take()
    assert not is_free(FileLock(path))
    later = threading.Timer(0.3, held.leave)
    later.start()
    with alone(FileLock(path), patience_s=30):
        assert not is_free(FileLock(path))
    later.join()
    assert is_free(FileLock(path))
