"""What every stage's run says about the code, the machine and the versions that made it."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

EXPERIMENT = "dvc.experiment"
_UNKNOWN = "unknown"


def run_facts(root: Path) -> dict[str, str]:
    """Tags with the git commit of `root` and whether its tree was dirty, DVC's experiment, the host, the versions."""
    commit, dirty = _git(root)
    experiment = os.environ.get("DVC_EXP_NAME", "")
    return ({EXPERIMENT: experiment} if experiment else {}) | {
        "mlflow.source.git.commit": commit,
        "git.commit": commit,
        "git.dirty": dirty,
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "torch": _version("torch"),
    }


def _git(root: Path) -> tuple[str, str]:
    try:
        commit = _output(["git", "rev-parse", "HEAD"], root)
        changed = _output(["git", "status", "--porcelain", "--untracked-files=no"], root)
    except (OSError, subprocess.SubprocessError):
        return _UNKNOWN, _UNKNOWN
    return commit, str(bool(changed)).lower()


def _output(command: list[str], root: Path) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, errors="replace", check=True, timeout=30)
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _UNKNOWN
