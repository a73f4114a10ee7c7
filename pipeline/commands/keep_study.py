"""`python -m pipeline keep-study`: go on with a study that began with other code."""

from __future__ import annotations

from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.progress import count
from pipeline.config import PARAMS_FILE, load
from pipeline.search.study.identity import searches, shared_studies, study_key
from pipeline.search.study.kept import keep, others


def keep_study(root: Path, wanted: str = "") -> str:
    """Let the next search go on with a study of the same parameters and other code; what to print.

    Args:
        wanted: beginning of the study's name; empty takes the one with the most finished trials.

    Raises:
        UserError: there is none, or the stages before search have not been run.
    """
    key, place = study_key(root, load(root / PARAMS_FILE)), searches(root)
    found = [other for other in others(key, place, shared_studies()) if other.name.startswith(wanted)]
    if not found:
        named = f" whose name begins with {wanted!r}" if wanted else ""
        raise UserError(
            f"no study{named} has these parameters, photos and weights and other code: `dvc repro search` goes on with "
            "what is there, or begins"
        )
    keep(key, found[0], place)
    return (
        f"study {found[0].name[:8]} is kept: `dvc repro search` goes on with its "
        f"{count(found[0].finished, 'finished trial')}, on your word that the code's change does not matter to them; "
        "the run in MLflow says so (tag study.kept)"
    )
