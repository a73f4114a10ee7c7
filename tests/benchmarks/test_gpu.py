"""The script for a GPU, dry: every part runs on a CPU, and what it leaves is what a GPU would leave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.mark.slow
def test_every_part_runs_and_leaves_its_result(root: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for seed in range(9):
        noise = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{seed}.png")
    command = [sys.executable, "-m", "benchmarks.gpu", str(photos), "--out", str(out), "--dry-run", "--least", "1"]
    command += ["--parts", "abcde", "--test", str(photos)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert "errors" not in results
    assert {call["exit"] for call in results["calls"].values()} == {"0"}, done.stdout
    assert results["contract_recorded"]["passed"] >= 1
    assert {speed["way"] for speed in results["engine"]} == {"plain", "engine"}
    assert set(results["trainings"]) == {"dense", "found", "tuned"}
    measured = json.loads((out / "full_protocol.json").read_text())
    assert {Path(name).name for name in measured} >= {"dense", "found_network", "tuned_network"}
    again = subprocess.run([*command, "--parts", "d"], cwd=root, capture_output=True, text=True, timeout=60)
    assert "dense" not in again.stdout, "what is done is not done again"
