"""Names of the tags that the pipeline gives a meaning to."""

from __future__ import annotations

import re

KEY = "tatsnet.key"
STAGE = "stage"
NOTE = "mlflow.note.content"
"""The description of a run or an experiment, Markdown."""
PARETO = "pareto"
REASON = "reason"
DATASET = "dataset.sha256"
UPSTREAM = "upstream."
TRIAL_STAGE = "search-trial"
CHANGED = "changed."
"""Before the name of a parameter with which a run went on after it had begun with another."""

_SAFE = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def check_key(key: str | None) -> None:
    """Refuse a key that could not stand in a search filter.

    Raises:
        ValueError: an empty or long key, or one with characters other than letters, digits and `._:-`.
    """
    if key is not None and not _SAFE.fullmatch(key):
        raise ValueError(f"a run's key is 1 to 200 letters, digits or ._:- characters, got {key!r}")
