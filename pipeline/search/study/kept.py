"""Studies of the same parameters and other code: found, told, and gone on with on the user's word.

A study's name is a hash of what its trials rest on: parameters, photos, weights, code. A change of the code makes
another name, and so another study. That must not drop trials in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from pipeline.common.files import atomic_write_json, read_json
from pipeline.common.keys import key_of
from pipeline.search.study.ledger import sqlite

KEPT = "kept.json"
"""In `.state/search`: studies that go on under other code, by the name that the new code would give them."""

_PARAMETERS, _CODE = "parameters", "code"


@dataclass(frozen=True, kw_only=True)
class StudyKey:
    """What a study is: `parameters` hashes all that its trials rest on but the code, `code` the code."""

    parameters: str
    code: str

    @staticmethod
    def of(parts: Mapping[str, Any], code: str) -> StudyKey:
        """By the parts of the parameters, and a hash of the code."""
        return StudyKey(parameters=key_of(parts), code=code)

    @property
    def own(self) -> str:
        """The name of a study that begins with this code."""
        return key_of({_PARAMETERS: self.parameters, _CODE: self.code})

    def name(self, state: Path) -> str:
        """The name of the study to go on with: one that was kept, or its own.

        Args:
            state: the folder of all searches.
        """
        return str(_kept(state).get(self.own, self.own))

    def mark(self, storage: BaseStorage, study: str) -> None:
        """Write into a study what it is, if it does not say so yet."""
        study_id = storage.get_study_id_from_name(study)
        if _PARAMETERS not in storage.get_study_user_attrs(study_id):
            storage.set_study_user_attr(study_id, _PARAMETERS, self.parameters)
            storage.set_study_user_attr(study_id, _CODE, self.code)


@dataclass(frozen=True, kw_only=True)
class Other:
    """A study of the same parameters and other code.

    Attributes:
        name: of the study.
        code: hash of the code that it began with.
        finished: trials trained to their end.
    """

    name: str
    code: str
    finished: int


def others(key: StudyKey, state: Path, shared: BaseStorage | None) -> list[Other]:
    """Studies of the same parameters and other code, the one with the most finished trials first.

    Args:
        state: the folder of all searches, each with its database.
        shared: the database of all studies, in place of those.
    """
    storages = [shared] if shared else [sqlite(path) for path in sorted(state.glob("*/study.db"))]
    found = []
    for storage in storages:
        for study in storage.get_all_studies():
            attributes = storage.get_study_user_attrs(study._study_id)
            if attributes.get(_PARAMETERS) == key.parameters and attributes.get(_CODE) != key.code:
                finished = storage.get_n_trials(study._study_id, state=TrialState.COMPLETE)
                found.append(Other(name=study.study_name, code=str(attributes.get(_CODE)), finished=finished))
    return sorted(found, key=lambda other: -other.finished)


def keep(key: StudyKey, other: Other, state: Path) -> None:
    """Go on with another study from now on, as long as neither parameters nor code change again."""
    atomic_write_json(state / KEPT, _kept(state) | {key.own: other.name})


def _kept(state: Path) -> dict[str, str]:
    path = state / KEPT
    known: dict[str, str] = read_json(path) if path.is_file() else {}
    return known
