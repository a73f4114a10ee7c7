"""`python -m pipeline promote NAME@knee champion`: an alias of a registered network, set after checks."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.common.errors import UserError
from pipeline.config import PARAMS_FILE, ControlLimits, load
from pipeline.report.registration import TOLERANCE_DB, figure_of
from pipeline.tracking import Version, open_tracker
from pipeline.tracking.fetching import fetch_network
from tatsnet.pruned.extraction import TOLERANCE
from tatsnet.restorer import Restorer

FIGURES = ("difference", "weakest_slider", "off_rms", "speedup_27", "psnr_db")
"""Tags without which nothing can be checked."""

_WHICH = re.compile(r"(?:models:/)?(?P<name>[^@/]+)[@/](?P<which>[\w.-]+)")
_ALIAS = re.compile(r"(?!v?\d+$)[\w-]{1,100}")


def promote(root: Path, which: str, alias: str, *, tolerance_db: float = TOLERANCE_DB, force: bool = False) -> str:
    """Let an alias point at a registered version, if it holds what the alias promises.

    Args:
        root: the project folder, with params.yaml.
        which: `NAME@ALIAS` or `NAME/VERSION`.
        alias: to set, as `champion`.
        tolerance_db: how far PSNR may be below that of the version which has the alias.
        force: set it whatever the checks say; they are told all the same.

    Returns:
        What was checked and done.

    Raises:
        UserError: no such version, or a check fails: which and why.
    """
    asked = _WHICH.fullmatch(which)
    if not asked:
        raise UserError(f"{which!r} names no registered network: give NAME@ALIAS or NAME/VERSION, as tatsnet@knee")
    if not _ALIAS.fullmatch(alias):
        raise UserError(f"{alias!r} cannot be an alias: letters, digits, _ and -, and not a number; as champion")
    params, name = load(root / PARAMS_FILE), asked["name"]
    tracker = open_tracker(params.tracking.experiment, root)
    new = tracker.version(name, asked["which"])
    if new is None:
        raise UserError(f"there is no {which} in {tracker.uri}: `python -m pipeline ui` shows what is registered")
    holder = tracker.version(name, alias)
    if holder and holder.version == new.version:
        return f"{name}@{alias} is version {new.version} already"
    failed = checks(new.tags, holder.tags if holder else None, params.search.control, tolerance_db)
    failed |= loads(root, new)
    if failed and not force:
        said = "\n".join(f"  {check}: {reason}" for check, reason in failed.items())
        present = f"version {holder.version} keeps it" if holder else "nobody has it"
        raise UserError(
            f"{name} version {new.version} does not become {alias}; {present}.\n{said}\n"
            f"Mend that and register again (dvc repro benchmark, or python -m pipeline pick), or add --force"
        )
    tracker.set_alias(name, alias, new.version)
    said = "".join(f"\n  WARNING {check}: {reason}" for check, reason in failed.items())
    before = f"; it was version {holder.version}" if holder else ""
    return (
        f"{name}@{alias} is now version {new.version}{before}{said}\n"
        f"Use it: tatsnet restore photo.jpg --model models:/{name}@{alias} --deblur 0.5 -o out.png"
    )


def checks(
    new: Mapping[str, str], holder: Mapping[str, str] | None, limits: ControlLimits, tolerance_db: float
) -> dict[str, str]:
    """What speaks against a version by its tags: each check that fails, with the reason.

    Args:
        new, holder: tags of the version and of that which has the alias; None where none has it.
        limits: what a network must do to obey its sliders.
    """
    failed = {}
    lacking = [name for name in FIGURES if math.isnan(figure_of(new, name))]
    if lacking:
        return {"figures": f"carries no {', '.join(lacking)}: an earlier version of this project registered it"}
    difference, weakest, speed = (figure_of(new, name) for name in ("difference", "weakest_slider", "speedup_27"))
    if not difference <= TOLERANCE:
        failed["equality"] = f"differs from the masked network by {difference:.1e}, at most {TOLERANCE:.0e} is allowed"
    if not weakest >= limits.gain:
        failed["control"] = (
            f"its weakest slider gains {weakest:.1%} of what the dense network's does, "
            f"at least {limits.gain:.1%} is wanted (search.control.gain)"
        )
    elif not figure_of(new, "off_rms") <= limits.off_rms:
        failed["control"] = (
            f"all sliders at 0 change a photo by {figure_of(new, 'off_rms'):.2f} steps of 255, "
            f"at most {limits.off_rms:g} is allowed (search.control.off_rms)"
        )
    if not speed > 1.0:
        failed["speed"] = f"is {speed:.2f} times as fast as the dense network"
    if holder is None:
        return failed
    if new.get("dataset_sha256") != holder.get("dataset_sha256"):
        failed["PSNR"] = "was measured on other photos than the present one's: measure both on the same"
    elif not figure_of(new, "psnr_db") >= figure_of(holder, "psnr_db") - tolerance_db:
        failed["PSNR"] = (
            f"{figure_of(new, 'psnr_db'):.2f} dB, the present one has {figure_of(holder, 'psnr_db'):.2f} dB "
            f"(tolerance {tolerance_db:g} dB)"
        )
    return failed


def loads(root: Path, version: Version) -> dict[str, str]:
    """Whether its files come back whole and restore: what fails, with the reason."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            restorer = Restorer.load(fetch_network(root, version, Path(scratch)), runtime="torch")
        except (OSError, ValueError) as error:
            return {"files": str(error)}
        grey_HWC = np.full((32, 32, 3), 0.5, np.float32)
        restored = np.asarray(restorer.effect(restorer.encode(grey_HWC), (0.5, 0.5, 0.5)))
    return {} if np.isfinite(restored).all() else {"files": "the network gives no numbers"}
