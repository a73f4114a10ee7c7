"""Every benchmark can be started: it imports what is there, and says what it is for and how to call it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

MODULES = Path(__file__).parents[2].joinpath("benchmarks").glob("[!_]*.py")
NAMES = sorted(path.stem for path in MODULES if "\ndef main(" in path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_and_says_how_to_call_it(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert callable(module.main)
    assert f"python -m benchmarks.{name}" in Path(str(module.__file__)).read_text()
