"""Whether the report in the folder is the one that belongs to this commit, as DVC knows it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.layout import REPORTS

_PATIENCE_S = 120.0


def require_current(root: Path) -> str | None:
    """Refuse a report of another commit or another experiment; a note where what it was made from has changed since.

    Nothing is asked, and nothing said, where the project has no `dvc.lock` yet.

    Raises:
        UserError: the folder `reports` is not what `dvc.lock` says.
    """
    if not ((root / "dvc.lock").is_file() and (root / ".dvc").is_dir()):
        return None
    changes = _status(root)
    if changes is None:
        return "Note: DVC could not say whether these figures belong to this commit; `dvc status benchmark` says why."
    if REPORTS.as_posix() in changes.get("changed outs", {}):
        raise UserError(
            f"{root / REPORTS} does not hold the figures of this commit (its dvc.lock names others): `dvc checkout` "
            "brings those back, `dvc repro` makes them anew, `dvc commit benchmark` keeps what is there"
        )
    if changes.get("changed deps") or changes.get("changed command"):
        return "Note: parameters, code or data have changed since these figures were made; `dvc repro` makes new ones."
    return None


def _status(root: Path) -> dict[str, Any] | None:
    """What DVC finds changed of the stage benchmark alone, by kind; None where it does not say."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "benchmark"]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, errors="replace", check=False, timeout=_PATIENCE_S
        )
        changes = json.loads(done.stdout)["benchmark"] if json.loads(done.stdout) else []
        return {kind: items for change in changes if isinstance(change, dict) for kind, items in change.items()}
    except (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError):
        return None
