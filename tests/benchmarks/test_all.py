"""Every benchmark starts: it imports what is there, and says what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NAMES = sorted(path.stem for path in Path(__file__).parents[2].joinpath("benchmarks").glob("[!_]*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_has_help(name: str, root: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
