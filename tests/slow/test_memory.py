"""What effects of a large photo hold in memory, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tatsnet.pruned.extraction import extract
from tests.tatsnet.networks import frozen_network

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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("runtime", ["numba", "torch"])
def test_a_photo_of_48_million_pixels_is_restored_within_the_limit(runtime: str, root: Path, tmp_path: Path) -> None:
    folder = extract(frozen_network(4), tmp_path / "net", [(0.0, 0.0, 0.0)]).folder
    tile = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    Image.fromarray(np.tile(tile, (10, 10, 1))).save(tmp_path / "photo.jpg")
    code = (
        "import resource, sys; from tatsnet.cli import main; status = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20); sys.exit(status)"
    )
    given = ["restore", tmp_path / "photo.jpg", "--denoise", "0.3", "-o", tmp_path / "out.jpg"]
    command = [sys.executable, "-c", code, *given, "--model", folder, "--runtime", runtime]
    done = subprocess.run([str(part) for part in command], cwd=root, check=True, capture_output=True, text=True)
    assert float(done.stdout.splitlines()[-1]) < 3.2, "with 100 bytes a pixel it would be 4.8"
