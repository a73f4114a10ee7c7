"""What a stage of dvc.yaml imports, and whether its deps name it.

Code stands in dvc.yaml by folder: what decides a result. A stage may import more: settings, errors, trackers and
commands cannot change what it makes (`NO_RESULT`), and nothing that only they import counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import grimp

PACKAGES = ("tatsnet", "pipeline")
NO_RESULT = (
    "pipeline/__init__.py",
    "pipeline/cluster",
    "pipeline/commands",
    "pipeline/common",
    "pipeline/config",
    "pipeline/sources/settings.py",
    "pipeline/stages/__init__.py",
    "pipeline/stages/runner.py",
    "pipeline/tracking",
    "tatsnet/__init__.py",
    "tatsnet/cli",
    "tatsnet/shipped",
    "tatsnet/system",
    "tatsnet/timing/measure.py",
)
"""Code that cannot change what a stage makes, but only whether and how it is told."""

SHOWN = ("pipeline/report", "pipeline/search/driver")
"""Code that shows what a stage has made: it decides the result of a stage that names it, and of no other."""

_MODULE = re.compile(r"python -m (pipeline\.stages\.\w+)")


def stage_module(command: str) -> str:
    """The module that a stage's command runs.

    Raises:
        ValueError: it runs none.
    """
    if not (match := _MODULE.search(command)):
        raise ValueError(f"{command!r} runs no stage of this project")
    return match[1]


def code_of(graph: grimp.ImportGraph, module: str, deps: Iterable[str], root: Path) -> set[str]:
    """The files that decide a stage's result, as paths from the root: what it imports, not by way of what does not.

    Raises:
        ValueError: there is no such module.
    """
    if module not in graph.modules:
        raise ValueError(f"dvc.yaml runs {module}, which does not exist")
    left_out = (*NO_RESULT, *(folder for folder in SHOWN if not covered(folder, deps)))
    found: set[str] = set()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        path = _file(name, root)
        plain = path.relative_to(root).as_posix()
        if plain in found or covered(plain, left_out):
            continue
        found.add(plain)
        ahead += graph.find_modules_directly_imported_by(name)
    return {path for path in found if (root / path).stat().st_size}


def covered(path: str, deps: Iterable[str]) -> bool:
    """Whether a file, or the folder that it lies in, is among some paths."""
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


def missing(code: set[str], deps: Iterable[str]) -> list[str]:
    """Files that decide a result and are not named."""
    named = list(deps)
    return sorted(path for path in code if not covered(path, named))


def idle(code: set[str], deps: Iterable[str]) -> list[str]:
    """Code that is named and not imported."""
    named = [dep for dep in deps if dep.startswith(tuple(f"{package}" for package in PACKAGES))]
    return [dep for dep in named if not any(covered(path, [dep]) for path in code)]


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
