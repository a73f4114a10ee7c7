"""The command line of `python -m infra.box`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from infra.box.box import Box, describe, down, folder_of, locked, present, run, up
from infra.box.processes import running, uninterrupted
from pipeline.commands.loopback import require_loopback
from pipeline.common.errors import UserError
from pipeline.common.progress import say
from pipeline.common.told import told

_REPRO = ("dvc", "repro")
_GRACE_S = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: the command's own for `run`; for `status` 0 when all services run and 1 otherwise; 2 for what
        the user can mend, 130 after an interrupt.
    """
    arguments = _parser().parse_args(argv)

    def work() -> int:
        if not arguments.project.is_dir():
            raise UserError(f"--project {arguments.project}: there is no such folder; name the one with params.yaml")
        with _interruptible():
            return int(arguments.work(arguments))

    return told("box", work, root=arguments.project, interrupted="interrupted; what it had started is stopped")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.box",
        description=(
            "A cluster in a box: Postgres, an S3 server (SeaweedFS), MLflow with accounts, and a Ray cluster of a head "
            "and two workers with a token: all on this machine's loopback, with passwords of their own in .state/box."
        ),
        epilog="Example: python -m infra.box run -- dvc repro search",
    )
    parser.add_argument("--project", type=Path, default=Path(), help="the folder with params.yaml (default: this one)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text, work, example in (
        ("run", "start it, run a command against it (default: dvc repro), stop it", _run, "run -- dvc repro search"),
        ("up", "start it and leave it running", _up, "up && . .state/box/env.sh && dvc repro"),
        ("down", "stop it", _down, "down"),
        ("status", "say what runs", _status, "status"),
    ):
        command = commands.add_parser(
            name, help=text, description=text, epilog=f"Example: python -m infra.box {example}"
        )
        command.set_defaults(work=work)
        if name in ("run", "up"):
            command.add_argument(
                "--host",
                default="127.0.0.1",
                help="a check, no choice: every service listens on %(default)s, and what is no loopback address is "
                "refused",
            )
        if name == "run":
            command.add_argument("command", nargs="*", metavar="-- COMMAND", help="default: dvc repro")
        if name == "down":
            command.add_argument("--delete", action="store_true", help="and remove its data, logs and passwords")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    _require_loopback(arguments.host)
    folder = folder_of(arguments.project)
    command = arguments.command or _REPRO
    running_box = present(arguments.project)
    if running_box is not None:
        say("box  is up already, and stays up")
        return _command(running_box, command)
    with locked(folder):
        try:
            return _command(up(arguments.project), command)
        finally:
            with uninterrupted():
                down(arguments.project)


def _command(box: Box, command: Sequence[str]) -> int:
    """Run the command to its end; Ctrl-C is handed on to it, once, and waited for."""
    say(f"box  MLflow: {box.mlflow.uri}, user box, password in {box.folder.secrets / 'mlflow'}")
    say(f"box  runs: {' '.join(command)}")
    process = run(box, command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        with uninterrupted():
            # All of it, as a terminal would: DVC itself waits for its stage.
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
        raise


def _up(arguments: argparse.Namespace) -> int:
    _require_loopback(arguments.host)
    with locked(folder_of(arguments.project)):
        box = present(arguments.project)
        if box is None:
            box = up(arguments.project)
        else:
            say("box  is up already")
    say(f"MLflow: {box.mlflow.uri}, user box, password in {box.folder.secrets / 'mlflow'}")
    say(f"To use it from a shell: . {box.folder.environment}")
    say("To stop it: python -m infra.box down")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments.project)
    if not folder.path.exists():
        say("box  is not up: nothing to stop")
        return 0
    with locked(folder):
        down(arguments.project)
    if arguments.delete:
        shutil.rmtree(folder.path)
        say(f"box  {folder.path} is removed")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments.project)
    box = present(arguments.project)
    some = running(folder.path)
    say(f"box  {'is up' if box else 'is half up: `python -m infra.box down` tidies' if some else 'is not up'}")
    say(describe(folder))
    return 0 if box else 1


def _require_loopback(host: str) -> None:
    require_loopback(
        host,
        "would show the box to the network: SeaweedFS's inner ports have no password, and nothing here has TLS. Keep "
        "127.0.0.1 and reach it by `ssh -L`, or set up real servers: docs/cluster.md",
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal stop everything as Ctrl-C does, which is heard even in the background."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
