"""A search and a training in a Slurm cluster: on a machine where one runs, as its scripts say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, searching, trials

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

NO_GPU = ("--gpus-per-task=0", "--cpus-per-task=1")


@pytest.fixture(scope="module", autouse=True)
def slurm() -> None:
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm here")


def submitted(folder: Path, root: Path, *arguments: str) -> str:
    """What the jobs of a script wrote, when all have ended."""
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["sbatch", "--parsable", "--output=job-%A-%a.txt", *NO_GPU, *arguments],
        **{"cwd": folder, "env": environment, "capture_output": True, "text": True, "check": False},
    )
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    while queued(job):
        time.sleep(1)
    return "".join(path.read_text() for path in sorted(folder.glob(f"job-{job}-*.txt")))


def queued(job: str) -> bool:
    listed: Any = subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip())


def test_an_array_of_workers_does_the_search(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.trials": 4})
    said = submitted(project, root, "--array=0-1", str(root / "infra/slurm/workers.sbatch"))
    assert said.count("4 of 4 trials done, 0 running, 0 failed") == 2, said
    with searching(project, root) as search:
        assert search.end() == 0, search.told()
    assert [(row["number"], row["state"]) for row in trials(project)] == [(n, "finished") for n in range(4)]


def test_a_training_is_a_job(tmp_path: Path, root: Path) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{seed}.png")
    sizes = ["--width=8", "--blocks=1", "--patch=16", "--batch=2", "--valid=1", "--iterations=20"]
    said = submitted(tmp_path, root, str(root / "infra/slurm/train.sbatch"), "dense", "photos", "-o", "out", *sizes)
    assert (tmp_path / "out" / "network.safetensors").is_file(), said
