"""The package as it is first met: its name, its version, its help, and nothing heavy before it is wanted."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tatsnet
from tatsnet import restorer
from tatsnet.cli.main import main

AS_A_MODULE = """
import runpy, sys
sys.argv = ["tatsnet", "--version"]
try:
    runpy.run_module("tatsnet", run_name="__main__")
except SystemExit:
    print("torch" in sys.modules)
"""


def test_versions_agree(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["version"] == tatsnet.__version__
    assert f"version: {tatsnet.__version__}" in (root / "CITATION.cff").read_text()
    assert f"## {tatsnet.__version__}" in (root / "CHANGELOG.md").read_text()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"tatsnet {tatsnet.__version__}"


def test_bare_it_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "restore one photo" in capsys.readouterr().out


def test_it_runs_as_a_module_and_imports_nothing_heavy_for_its_version() -> None:
    done = subprocess.run([sys.executable, "-c", AS_A_MODULE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tatsnet", tatsnet.__version__, "False"]


def test_the_restorer_is_found_where_it_is_looked_for() -> None:
    from tatsnet import Restorer

    assert Restorer is restorer.Restorer
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        tatsnet.Nothing  # noqa: B018


def test_it_is_typed_for_others(root: Path) -> None:
    assert (root / "tatsnet" / "py.typed").is_file()
