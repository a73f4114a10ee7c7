from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.box.__main__ import main
from infra.box.box import folder_of, locked
from infra.bucket.__main__ import main as bucket


@pytest.mark.parametrize("command", ["run", "up", "down", "status"])
def test_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"Example: python -m infra.box {command}" in capsys.readouterr().out


def test_so_does_that_of_the_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bucket(["--help"])
    assert "Example: python -m infra.bucket s3://" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--checkpoint-days", "--version-days", "--upload-days"])
def test_each_number_of_days_says_of_what(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bucket(["--help"])
    (said,) = re.findall(
        rf"^  {option} DAYS\s+(.*?\(default: \d+\))$", capsys.readouterr().out, re.MULTILINE | re.DOTALL
    )
    assert " ".join(said.split()).partition("this many days")[1]


@pytest.mark.parametrize("command", ["run", "up"])
def test_help_says_that_the_host_cannot_be_chosen(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "every service listens on 127.0.0.1" in " ".join(capsys.readouterr().out.split())


def test_down_and_status_of_a_box_that_never_was_make_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--project", str(tmp_path), "down"]) == 0
    assert main(["--project", str(tmp_path), "status"]) == 1
    assert "box  is not up" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["up", "run", "down", "status"])
def test_a_folder_that_is_not_there_is_not_made(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--project", str(tmp_path / "typo"), command]) == 2
    assert "typo: there is no such folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["up", "run", "down"])
def test_two_at_once_are_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(folder_of(tmp_path)):
        assert main(["--project", str(tmp_path), command]) == 2
    assert "another `python -m infra.box` is at work" in capsys.readouterr().err
