"""MLflow keeps whole paths of artifacts in its store: here they follow a project that was moved, copied or renamed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from pipeline.common.errors import UserError
from pipeline.common.progress import say

_WAIT_S = 20.0
_EXPERIMENTS = ("experiments", "artifact_location")
_PATHS = (
    _EXPERIMENTS,
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_DEFAULT = "mlruns"


def follow_move(store: Path, artifacts: Path) -> None:
    """Point a store of this project to the project's artifacts, where its paths still name another folder.

    An experiment belongs to the project if its artifacts lie in a folder called as `artifacts` is; one that the user
    has put elsewhere keeps its place.

    Args:
        store: MLflow's SQLite file; nothing is done where there is none.
        artifacts: the folder of the project's artifacts, absolute.

    Raises:
        UserError: the store cannot be read or written.
    """
    if not store.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)) as db:
            moves = dict(_moves(db, artifacts))
            with db:
                for old, new in moves.items():
                    _replace(db, old, new)
        for old in moves:
            if old.endswith(f"/{artifacts.name}"):
                was = unquote(urlparse(old).path.rpartition("/")[0])
                say(f"tracking  the project was at {was}: what was recorded there is now found here")
    except sqlite3.Error as error:
        raise UserError(
            f"the store of the runs cannot be used ({error}): {store}; wait until no other program works on it, and "
            "look whether it may be written"
        ) from error


def _moves(db: sqlite3.Connection, artifacts: Path) -> Iterator[tuple[str, str]]:
    """Old and new addresses of folders of artifacts."""
    here = artifacts.as_uri()
    for (location,) in db.execute(_select(db, *_EXPERIMENTS)):
        place = str(location or "").rstrip("/")
        if place.endswith(f"/{artifacts.name}") and place != here and _is_local(place):
            yield place, here
        elif place.endswith(f"/{_DEFAULT}/0"):  # of the experiment that MLflow makes by itself
            default = f"{artifacts.with_name(_DEFAULT).as_uri()}/0"
            if place != default and _is_local(place):
                yield place, default


def _is_local(place: str) -> bool:
    return place.startswith(("file:", "/"))


def _replace(db: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in _PATHS:
        if _select(db, table, column):
            db.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )


def _select(db: sqlite3.Connection, table: str, column: str) -> str:
    """A query of a column's values, or nothing where the store, of another version of MLflow, has no such column."""
    known = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    return f"SELECT DISTINCT {column} FROM {table}" if column in known else ""
