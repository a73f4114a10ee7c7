"""A virtual environment that holds what a requirements file names, and what that needs, and nothing else.

Nothing is downloaded: the files of the distributions that are installed here are linked. So a requirement that is
missing is missing there as well.
"""

from __future__ import annotations

import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def environment_of(requirements: Path, at: Path) -> Path:
    """Make it in the folder `at`; its Python.

    Raises:
        PackageNotFoundError: something that is required is not installed here.
        AssertionError: it is installed in another version.
    """
    venv.create(at, symlinks=True)
    site = at / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    lines = [line for line in requirements.read_text(encoding="utf-8").splitlines() if line.strip()]
    for dist in closure([Requirement(line) for line in lines]):
        base = Path(str(dist.locate_file("")))
        for file in dist.files or ():
            source, target = base / file, site / file
            if ".." in file.parts or target.exists() or not source.is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
        for command in dist.entry_points.select(group="console_scripts"):
            script = at / "bin" / command.name
            script.write_text(
                f"#!{at}/bin/python\nimport sys\nfrom {command.module} import {command.attr}\n"
                f"sys.exit({command.attr}())\n"
            )
            script.chmod(0o755)
    return at / "bin" / "python"


def closure(requirements: list[Requirement]) -> list[Distribution]:
    """The distributions that requirements need, directly or not."""
    found: dict[str, Distribution] = {}
    waiting = [(requirement, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        dist = found.setdefault(name, distribution(name))
        assert requirement.specifier.contains(dist.version.split("+")[0], prereleases=True), (
            str(requirement),
            dist.version,
        )
        for line in dist.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed, one) for one in ("", *needed.extras)]
    return list(found.values())
