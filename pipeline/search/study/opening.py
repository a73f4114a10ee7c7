"""A study opened to go on with, and the store of its trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optuna.storages import RDBStorage

from pipeline.cluster.store import Store, place_of_all
from pipeline.common.progress import count, say
from pipeline.config import SearchConfig
from pipeline.search.study.identity import shared_studies
from pipeline.search.study.kept import StudyKey, others
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.study.lock import DatabaseLock, FileLock, Lock, alone, is_free


@dataclass(frozen=True)
class Opened:
    """Where a study lies: in the database that TATSNET_STUDY names, else in a file of the project.

    Args:
        key: of the study.
        place: the folder of all searches.

    Raises:
        UserError: it cannot be opened.
    """

    key: StudyKey
    place: Path

    @cached_property
    def name(self) -> str:
        """Of the study."""
        return self.key.name(self.place)

    @cached_property
    def shared(self) -> RDBStorage | None:
        """The database; None without."""
        return shared_studies()

    @cached_property
    def storage(self) -> RDBStorage:
        """What Optuna keeps the study in."""
        return self.shared or sqlite(self.place / self.name / "study.db")

    def lock(self, trial: int | None = None) -> Lock:
        """Of the study, held while something is asked or told; or of a trial, held by the worker that trains it."""
        if self.shared:
            return DatabaseLock(self.shared, self.name if trial is None else f"{self.name} {trial}")
        folder = self.place / self.name
        return FileLock(folder / "study.lock" if trial is None else folder / "held" / f"{trial:04d}")

    @contextmanager
    def ledger(self, config: SearchConfig, patience_s: float = 0.0) -> Iterator[Ledger]:
        """The study's ledger, held alone.

        Args:
            patience_s: seconds for which a study that another holds is tried again.

        Raises:
            UserError: it cannot be opened, or another search holds it.
        """
        with alone(self.lock(), patience_s) as still_alone:
            ledger = Ledger(
                self.storage, self.name, config, still_alone, is_held=lambda trial: not is_free(self.lock(trial))
            )
            self.key.mark(self.storage, self.name)
            yield ledger

    def tell_others(self) -> None:
        """Before a study begins, say how to go on with one of the same parameters and other code instead."""
        found = others(self.key, self.place, self.shared)
        if found and found[0].finished:
            say(
                f"search  begins a new study: the code has changed. Study {found[0].name[:8]} has the same parameters "
                f"and {count(found[0].finished, 'finished trial')}; to go on with it, stop this and run "
                "`python -m pipeline keep-study`"
            )


def place_of_store(study: str, place: Path) -> str:
    """Where a study's trials leave what they make: as TATSNET_STORE says, else in a folder of the project.

    Args:
        place: the folder of all searches.
    """
    return place_of_all() or str((place / study / "store").resolve())


def open_store(study: str, place: Path) -> Store:
    """The store of a study's trials."""
    return Store(place_of_store(study, place), study)
