"""What effects of a large photo hold in memory, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_GIB = 6.0


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_effects_of_a_4k_photo_stay_within_the_limit(root: Path, tmp_path: Path) -> None:
    figures = tmp_path / "memory.json"
    command = [sys.executable, "-m", "benchmarks.memory", "--size", "3840x2160", "--effects", "4", "--json"]
    subprocess.run([*command, str(figures)], cwd=root, check=True)
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert found["before_gib"] < found["peak_gib"] < LIMIT_GIB
