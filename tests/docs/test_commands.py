"""Every shell command of README and docs runs here, or is listed with the reason why not and the test that stands in.

Commands of this project that do not run here are at least given to their own parsers.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.command_classes import NOT_HERE, RUN_HERE, SHORTENED
from tests.docs.markdown import COMMANDS_IN, ROOT, commands, prose, shell_commands
from tests.pipeline.sources.packing import photo

ALL = {command.text: command.page for page in COMMANDS_IN for command in commands(page)}
CLASSED = Counter((*RUN_HERE, *(command for listed in NOT_HERE.values() for command in listed)))
IN_PROSE = re.compile(r"`((?:tatsnet|make|python -m \w[\w.]*\w)(?:\s+[^`]*)?)`")


@pytest.mark.parametrize("command", ALL)
def test_each_is_in_one_class(command: str) -> None:
    assert CLASSED[command] == 1, f"{ALL[command]}: put it into RUN_HERE or NOT_HERE of tests/docs/command_classes.py"


def test_no_class_holds_a_command_that_is_gone() -> None:
    assert CLASSED.keys() - ALL.keys() == set()


@pytest.mark.parametrize("reason", NOT_HERE)
def test_the_tests_that_stand_in_exist(reason: str) -> None:
    assert all((ROOT / path).exists() for path in re.findall(r"tests/[\w/.]*\w", reason))


def test_what_counts_as_a_command() -> None:
    block = "a --b \\\n  c  # why\n\n# nothing\nd && e 'x y'\nfor f in g; do\n  h $f\n  i\ndone\nj\n"
    assert shell_commands(block) == ["a --b c", "d", "e 'x y'", "for f in g; do h $f; i; done", "j"]


class Accepted(Exception):
    """A parser has taken its arguments."""


@pytest.fixture
def accepts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bool]:
    """Whether the program's own parser takes a command; nothing of it is run."""
    depth = 0
    parse = argparse.ArgumentParser.parse_known_args

    def parsed(self: argparse.ArgumentParser, *given: object, **named: object) -> object:
        nonlocal depth
        depth += 1
        try:
            found, rest = parse(self, *given, **named)  # type: ignore[call-overload]
        finally:
            depth -= 1
        if depth:  # a subcommand's
            return found, rest
        if rest:
            self.error(f"unrecognized arguments: {rest}")
        raise Accepted

    def accepts(command: str) -> bool:
        module, *argv = of_this_project(command)
        monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parsed)
        monkeypatch.setattr(sys, "argv", [module, *argv])
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except Accepted:
            return True
        except SystemExit:
            return False
        raise AssertionError(f"{module} has not asked its parser")

    return accepts


def of_this_project(command: str) -> list[str]:
    """Module and arguments of a command; empty for other programs'."""
    match shlex.split(command):
        case ["tatsnet", *rest]:
            return ["tatsnet", *rest]
        case ["python", "-m", module, *rest] if (ROOT / module.partition(".")[0]).is_dir():
            return [module, *rest]
    return []


@pytest.mark.parametrize("command", [command for command in ALL if of_this_project(command)])
def test_its_parser_accepts_it(command: str, accepts: Callable[[str], bool]) -> None:
    assert accepts(shortened(command))


@pytest.mark.parametrize(
    "command",
    [
        "tatsnet restore photo.jpg --denoise 2 -o out.png",
        "tatsnet restored",
        "python -m pipeline pick six",
        "python -m pipeline plan --parms x",
        "python -m infra.box sideways",
        "python -m benchmarks.searchers rec --out",
    ],
)
def test_a_parser_refuses_what_is_wrong(command: str, accepts: Callable[[str], bool]) -> None:
    assert not accepts(command)


@pytest.mark.parametrize("command", [command for command in ALL if command.startswith("make ")])
def test_make_has_the_target(command: str) -> None:
    assert has_target(command.split()[1])


def has_target(name: str) -> bool:
    return re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("page", COMMANDS_IN)
def test_commands_in_prose_exist(page: str) -> None:
    """They may lack arguments, so only the program and its subcommand are looked for."""
    unknown = [command for command in IN_PROSE.findall(prose(page)) if "NAME" not in command and not exists(command)]
    assert unknown == []


def exists(command: str) -> bool:
    """Whether there is such a program with such a subcommand."""
    program, *rest = command.split()
    if program == "make":
        return not rest or has_target(rest[0])
    module, *rest = of_this_project(command) or [*rest[1:2], ""]
    path = ROOT / module.replace(".", "/")
    if module == "tatsnet":
        sources = [*(path / "cli").glob("*.py")]
    else:
        sources = [file for file in (path.with_suffix(".py"), path / "__main__.py") if file.is_file()]
    named = rest and re.fullmatch(r"[a-z][a-z-]+", rest[0]) and (module == "tatsnet" or path.is_dir())
    return bool(sources) and (not named or any(f'"{rest[0]}"' in file.read_text() for file in sources))


def test_a_wrong_command_in_prose_is_seen() -> None:
    assert exists("tatsnet restore")
    assert exists("python -m pipeline pick 6")
    wrong = ("tatsnet repair", "python -m pipeline choose", "python -m benchmarks.nothing", "make coffee")
    assert not any(map(exists, wrong))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: photos, a network where the pipeline leaves one, the profiles."""
    place = tmp_path_factory.mktemp("docs")
    names = ("photo.jpg", "holiday/a.jpg", "holiday/b.jpg", "more/c.jpg", "photos/d.jpg", "photos/e.jpg")
    for number, name in enumerate(names):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(photo(number, "JPEG", (160, 140)))
    shutil.copytree(ROOT / "tatsnet/shipped/networks/standard", place / "models/pruned/knee")
    for name in ("profiles", "examples"):
        shutil.copytree(ROOT / name, place / name)
    shutil.copy(ROOT / "profiles/quick.yaml", place / "params.yaml")
    run("dvc init --quiet --no-scm", place)
    return place


def shortened(command: str) -> str:
    """The command with what makes it short, if it is long."""
    return " ".join([command, *(options for begin, options in SHORTENED.items() if command.startswith(begin))])


def run(line: str, place: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    shell = ["bash", "-euc", line]
    done = subprocess.run(shell, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in COMMANDS_IN if any(c.text in RUN_HERE for c in commands(page))])
def test_the_commands_of_a_page_run_in_their_order(page: str, workplace: Path) -> None:
    for command in commands(page):
        if command.text in RUN_HERE:
            run(shortened(command.text), workplace)
