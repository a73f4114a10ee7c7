from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _LINT]
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_import_contracts_hold(root: Path) -> None:
    result = lint(root)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        (
            "tatsnet/network/flops.py",
            "def lazily() -> None:\n    import mlflow\n",
            "The library is PyTorch only",
        ),
        ("tatsnet/network/architecture.py", "import pipeline.common.errors\n", "The library is PyTorch only"),
        ("tatsnet/network/architecture.py", "import tatsnet.method.training\n", "The library's layers"),
        ("pipeline/plan.py", "import mlflow\n", "Only tracking imports MLflow"),
        ("pipeline/plan.py", "import ray.tune\n", "Only what runs on a cluster imports Ray"),
        ("pipeline/plan.py", "import optuna\n", "Only search imports Optuna"),
        ("pipeline/plan.py", "import boto3\n", "Only sources and infra import boto3"),
        ("infra/box/ray.py", "import boto3\n", "Only sources and infra import boto3"),
        ("pipeline/plan.py", "import infra.bucket.place\n", "The pipeline needs nothing of infra"),
        ("infra/box/ray.py", "import ray\n", "Infra starts servers and clusters"),
        ("infra/bucket/place.py", "import pipeline.config\n", "Infra starts servers and clusters"),
        ("pipeline/plan.py", "from ruamel.yaml import YAML\n", "Only config reads YAML"),
        ("pipeline/plan.py", "from yaml import safe_load\n", "The pipeline reads YAML 1.2"),
        ("pipeline/common/files.py", "import pipeline.config\n", "The pipeline's layers"),
        ("pipeline/stages/a_stage.py", "import pipeline.stages.another\n", "Stages meet in files"),
    ],
)
def test_a_breach_is_caught(root: Path, tmp_path: Path, module: str, line: str, contract: str) -> None:
    for package in ("tatsnet", "pipeline", "infra"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / "pipeline" / "stages" / "another.py").touch()
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}")
    result = lint(tmp_path)
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(row.startswith(contract) for row in broken), result.stdout
