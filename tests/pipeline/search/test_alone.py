"""One driver per study; tests/slow/test_box.py has the Postgres one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.search.study.lock import alone_by_file

HOLD = """
import sys, time
from pathlib import Path
from pipeline.search.study.lock import alone_by_file
with alone_by_file(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_driver_is_refused_as_long_as_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "study.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another search works on this study"), alone_by_file(path):
            pass
        first.kill()
    with alone_by_file(path):
        pass


def test_it_may_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_by_file(tmp_path / "study.lock"):
            pass
