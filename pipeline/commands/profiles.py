"""Profiles: whole sets of parameters under `profiles/`, one of which stands in `params.yaml`."""

from __future__ import annotations

import subprocess
from difflib import get_close_matches
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_bytes
from pipeline.config import PARAMS_FILE, load

FOLDER = Path("profiles")


def names(root: Path) -> list[str]:
    """The profiles of a project, sorted."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml"))


def use(name: str, root: Path, *, force: bool = False) -> Path:
    """Put a profile into `params.yaml`, whole or not at all; returns the profile's path.

    Args:
        name: as in `profiles/NAME.yaml`.
        root: the project's folder.
        force: write over edits that stand nowhere else.

    Raises:
        UserError: no such profile, a profile that is not valid, or edits in `params.yaml` that would be lost.
    """
    known = names(root)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"no profile {name!r} in {root / FOLDER}: there are {', '.join(known) or 'none'}{hint}")
    source, target = root / FOLDER / f"{name}.yaml", root / PARAMS_FILE
    load(source)
    if not force and not _kept_elsewhere(root):
        raise UserError(
            f"{target} has edits that are neither committed nor in {FOLDER}/: commit them, "
            f"copy the file to {FOLDER}/NAME.yaml, or add --force to lose them"
        )
    atomic_write_bytes(target, source.read_bytes())
    return source


def _kept_elsewhere(root: Path) -> bool:
    """Whether what `params.yaml` holds is also a profile or the committed version (or there is no such file)."""
    target = root / PARAMS_FILE
    if not target.exists():
        return True
    content = target.read_bytes()
    if any((root / FOLDER / f"{name}.yaml").read_bytes() == content for name in names(root)):
        return True
    return _committed(root) == content


def _committed(root: Path) -> bytes | None:
    """`params.yaml` of the last commit; None without git, without a commit or without the file in it."""
    command = ["git", "-C", str(root), "show", f"HEAD:./{PARAMS_FILE}"]
    try:
        result = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
