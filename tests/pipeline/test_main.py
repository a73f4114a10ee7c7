from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


@pytest.mark.parametrize("command", [[], ["plan"], ["warm-start"], ["ui"], ["summary"]])
def test_help_ends_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert " ".join(["Example: python -m pipeline", *command]) in capsys.readouterr().out


def test_plan_prints_what_its_json_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--params", "profiles/paper.yaml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert main(["plan", "--params", "profiles/paper.yaml"]) == 0
    table = capsys.readouterr().out
    assert (plan["network"]["width"], plan["network"]["blocks"]) == (64, 32)
    for row in (*plan["stages"], plan["total"]):
        assert row["stage"] in table
        assert not row["iterations"] or f"{row['iterations']:,}" in table
    assert f"{plan['total']['gpu_hours']:,.2f} GPU-hours" in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--params", "none.yaml"], "none.yaml: no such file"),
        (["warm-start", "none.json"], "none.json"),
        (["ui", "--host", "8.8.8.8"], "--host 8.8.8.8"),
        (["plan", "--params", "/dev/zero"], "is it another file?"),
        (["warm-start", "/dev/zero"], "/dev/zero is not valid JSON (more than 1024 MiB)"),
    ],
)
def test_a_user_s_mistake_is_one_message_and_exit_2(arguments: list[str], said: str) -> None:
    result = subprocess.run([sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout


@pytest.mark.parametrize("arguments", [["plan", "--jsn"], ["summary", "more"], [], ["plna"]])
def test_a_mistyped_command_line_exits_2_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m pipeline")
