"""Keeps the code files among the `deps` of dvc.yaml equal to what each stage really imports.

`python -m tests.contracts.dvc_deps` says what to change, `--write` changes it. A stage is a module that its `cmd` runs
(`python -m pipeline.stages.NAME`). It depends on every module of this project that it imports, directly or not, and on
data files beside such a module that the module names. A package's `__init__` counts where it is imported by name.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import grimp
import yaml

PACKAGES = ("tatsnet", "pipeline")
DATA_SUFFIXES = (".html", ".csv", ".npz")
_MODULE = re.compile(r"python -m (pipeline\.stages\.\w+)")


def stage_modules(commands: dict[str, str]) -> dict[str, str]:
    """Stage name -> the module that its command runs; stages that run none are left out."""
    found = {name: _MODULE.search(command) for name, command in commands.items()}
    return {name: match[1] for name, match in found.items() if match}


def code_of(graph: grimp.ImportGraph, module: str, root: Path) -> set[str]:
    """The project's files that a module is made of, as paths from the root.

    Raises:
        ValueError: there is no such module.
    """
    if module not in graph.modules:
        raise ValueError(f"dvc.yaml runs {module}, which does not exist")
    files = {_file(name, root) for name in {module, *graph.find_upstream_modules(module)}}
    named = {beside for path in files for beside in _named_data(path)}
    return {path.relative_to(root).as_posix() for path in files | named if path.stat().st_size}


def is_code(dep: str) -> bool:
    """Whether a dep is a file of this project's packages."""
    return dep.startswith(tuple(f"{package}/" for package in PACKAGES))


def differences(deps: Iterable[str], wanted: set[str]) -> list[str]:
    """Lines to add (+) and to remove (-), as they stand in dvc.yaml."""
    have = {dep for dep in deps if is_code(dep)}
    return [f"+ - {dep}" for dep in sorted(wanted - have)] + [f"- - {dep}" for dep in sorted(have - wanted)]


def check(root: Path, *, write: bool = False) -> dict[str, list[str]]:
    """What differs, per stage; with `write`, those lines of dvc.yaml are changed and no others."""
    path = root / "dvc.yaml"
    text = path.read_text()
    stages = yaml.safe_load(text)["stages"]
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    found = {}
    for name, module in stage_modules({name: str(stage.get("cmd", "")) for name, stage in stages.items()}).items():
        wanted = code_of(graph, module, root)
        if lines := differences(map(str, stages[name].get("deps", [])), wanted):
            found[name] = lines
            text = with_code(text, name, wanted)
    if write and found:
        path.write_text(text)
    return found


def with_code(text: str, stage: str, wanted: set[str]) -> str:
    """The text of a dvc.yaml with other code files among the deps of one stage, sorted, where the first one stood.

    Raises:
        ValueError: the stage has no `deps:` line of its own, with one dep on each line below it.
    """
    lines = text.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if re.match(rf"  {re.escape(stage)}:\s*$", line)), len(lines))
    head = next((n for n in range(start, len(lines)) if re.match(r"    deps:\s*$", lines[n])), None)
    if head is None or any(re.match(r" {0,2}\w", line) for line in lines[start + 1 : head]):
        raise ValueError(f"dvc.yaml: stage {stage} needs a `deps:` line, with one `- path` on each line below it")
    end = next((n for n in range(head + 1, len(lines)) if not re.match(r"\s+- |\s*#|\s*$", lines[n])), len(lines))
    old = [n for n in range(head + 1, end) if _is_code_line(lines[n])]
    kept = {n: lines[n] for n in range(head + 1, end) if n not in old}
    at = old[0] if old else head + 1
    before, after = [kept[n] for n in kept if n < at], [kept[n] for n in kept if n >= at]
    code = [f"      - {dep}\n" for dep in sorted(wanted)]
    return "".join([*lines[: head + 1], *before, *code, *after, *lines[end:]])


def _is_code_line(line: str) -> bool:
    match = re.match(r"\s+- (\S+)", line)
    return match is not None and is_code(match[1])


def report(found: dict[str, list[str]]) -> str:
    """The differences for a reader."""
    return "\n".join(f"{stage}:\n  " + "\n  ".join(lines) for stage, lines in found.items())


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _named_data(path: Path) -> set[Path]:
    text = path.read_text()
    beside = (other for other in path.parent.iterdir() if other.suffix in DATA_SUFFIXES)
    return {other for other in beside if other.name in text}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the differences; 1 when there are any and they were not written."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contracts.dvc_deps",
        description="Compare the code deps of dvc.yaml with what each stage imports.",
        epilog="Example: python -m tests.contracts.dvc_deps --write",
    )
    parser.add_argument("--write", action="store_true", help="mend dvc.yaml")
    write = parser.parse_args(argv).write
    found = check(Path.cwd(), write=write)
    print(report(found) or "dvc.yaml depends on what the stages import")
    return int(bool(found) and not write)


if __name__ == "__main__":
    sys.exit(main())
