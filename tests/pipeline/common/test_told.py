"""Whatever an error of the system, the packages, the text or the output is: every command says it in one message."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import infra.bucket.__main__ as bucket
import pipeline.__main__ as pipeline_main
from infra.box import __main__ as box
from pipeline.common.errors import UserError
from pipeline.common.told import told
from pipeline.stages.runner import look
from tests.profiles.tiny import tiny_profile

Command = Callable[[Callable[[], int]], int]
"""Runs one of the project's commands with other work in it."""

ERRORS: list[tuple[BaseException, int, str]] = [
    (UserError("photo.png is no photo: take it away"), 2, "photo.png is no photo: take it away"),
    (
        OSError(errno.ENOSPC, "No space left on device", "/p/a"),
        2,
        "/p/a: No space left on device: the disk is full",
    ),
    (OSError(errno.EIO, "Input/output error", "/p/a"), 2, "/p/a: Input/output error: the disk, or the way to it"),
    (OSError(errno.EMFILE, "Too many open files"), 2, "raise the limit, as with `ulimit -n 4096`"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "/p/a"), 2, "use a folder with a shorter one"),
    (OSError("AF_UNIX path too long"), 2, "AF_UNIX path too long: look at the file"),
    (PermissionError(errno.EACCES, "Permission denied", "/p/a"), 2, "there is no permission"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/p/a"), 2, "it is missing: put it back"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", b"/p/\xff"), 2, "it is missing: put it back"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 2, "nothing listens there"),
    (TimeoutError("timed out"), 2, "timed out: look at"),
    (ImportError("libgomp.so.1: cannot open shared object file"), 2, "does not load here (libgomp.so.1"),
    (ModuleNotFoundError("No module named 'torch'"), 2, "No module named 'torch'"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, "is not valid UTF-8"),
    (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2, "is not valid UTF-8"),
    (MemoryError(), 2, "the memory is used up"),
    (ValueError("embedded null byte"), 1, "embedded null byte. This was not expected; "),
    (ValueError("several\nlines"), 1, "several lines. This was not expected; "),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "the output was closed before the end"),
    (KeyboardInterrupt(), 130, "interrupted"),
]


def stage(work: Callable[[], int]) -> int:
    return look("photos", "looks at photos", lambda root, params: [work()][0] and None, [])


def patched(owner: object, name: str, run: Callable[[], int]) -> Command:
    """A command one of whose own functions does the work instead."""

    def command(work: Callable[[], int]) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, lambda *_: work())
            return run()

    return command


COMMANDS: dict[str, Command] = {
    "told": lambda work: told("", work),
    "a stage": stage,
    "pipeline plan": patched(pipeline_main, "_plan", lambda: pipeline_main.main(["plan"])),
    "pipeline worker": patched(pipeline_main, "_worker", lambda: pipeline_main.main(["worker"])),
    "pipeline warm-start": patched(pipeline_main, "_warm_start", lambda: pipeline_main.main(["warm-start", "x.json"])),
    "pipeline pick": patched(pipeline_main, "_pick", lambda: pipeline_main.main(["pick", "3"])),
    "pipeline promote": patched(pipeline_main, "_promote", lambda: pipeline_main.main(["promote", "a/1", "b"])),
    "pipeline keep-study": patched(pipeline_main, "_keep_study", lambda: pipeline_main.main(["keep-study"])),
    "pipeline ui": patched(pipeline_main, "_ui", lambda: pipeline_main.main(["ui"])),
    "pipeline summary": patched(pipeline_main, "_summary", lambda: pipeline_main.main(["summary"])),
    "infra.bucket": patched(bucket, "_run", lambda: bucket.main(["s3://bucket/prefix"])),
    "infra.box": patched(box, "_status", lambda: box.main(["status"])),
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_profile(tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_is_tried() -> None:
    (commands,) = [action for action in pipeline_main._parser()._actions if isinstance(action.choices, dict)]
    assert {f"pipeline {name}" for name in commands.choices or ()} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
@pytest.mark.parametrize(("error", "status", "said"), ERRORS, ids=lambda value: type(value).__name__)
def test_an_error_is_one_message(
    capsys: pytest.CaptureFixture[str], project: Path, command: str, error: BaseException, status: int, said: str
) -> None:
    def work() -> int:
        raise error

    assert COMMANDS[command](work) == status
    output = capsys.readouterr()
    assert said in output.err
    assert output.err.count("\n") == 1
    assert "Traceback" not in output.out + output.err
    kept = project / ".state" / "last-error.txt"
    assert kept.exists() == (type(error) is ValueError)
    if kept.exists():
        assert "Traceback" in kept.read_text()


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_status_of_the_work_is_handed_on(status: int) -> None:
    assert told("name", lambda: status) == status


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        told("name", lambda: 1 // 0)


@pytest.mark.parametrize("words", [["plan"], ["--help"], ["plan", "--json"]])
def test_a_reader_that_goes_away_is_no_traceback(root: Path, project: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pipeline", *words]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=project, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_name_that_the_terminal_cannot_show_is_shown_with_escapes(root: Path, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/gr\xfcn\xc3\xa9"
    os.mkdir(folder)
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [os.fsencode(sys.executable), b"-m", b"pipeline", b"plan", b"--params", folder + b"/none.yaml"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    assert done.returncode == 2
    assert b"none.yaml: no such file" in done.stderr
    assert b"Traceback" not in done.stderr
