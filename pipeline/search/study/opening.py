"""A study opened to go on with, and the store of its trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cluster.store import Store, place_of_all
from pipeline.common.progress import count, say
from pipeline.config import SearchConfig
from pipeline.search.study.identity import shared_studies
from pipeline.search.study.kept import Other, StudyKey, others
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.study.lock import alone_by_database, alone_by_file


@contextmanager
def open_ledger(config: SearchConfig, key: StudyKey, place: Path) -> Iterator[Ledger]:
    """The study of a key, held alone: in the database that TATSNET_STUDY names, else in a file of the project.

    Where it is new and studies of other code exist, one line says how to go on with them instead.

    Args:
        place: the folder of all searches.

    Raises:
        UserError: it cannot be opened, or another search holds it.
    """
    study = key.name(place)
    shared = shared_studies()
    storage = shared or sqlite(place / study / "study.db")
    with alone_by_database(storage, study) if shared else alone_by_file(place / study / "study.lock") as still_alone:
        ledger = Ledger(storage, study, config, still_alone)
        if not ledger.done:
            tell_others(others(key, place, shared))
        key.mark(storage, study)
        yield ledger


def tell_others(found: list[Other]) -> None:
    """Say that a study of these parameters exists with other code, before another begins."""
    if found and found[0].finished:
        best = found[0]
        say(
            f"search  begins a new study: the code has changed. Study {best.name[:8]} has the same parameters and "
            f"{count(best.finished, 'finished trial')}; to go on with it, stop this and run "
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
