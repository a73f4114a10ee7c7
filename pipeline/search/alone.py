"""One driver per study: a second one would hand out the trials of the first, and both would train them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import RDBStorage
from sqlalchemy import text

from pipeline.errors import UserError

_BUSY = "another search works on this study ({where}): wait until it ends, or end it; then the same command goes on"


@contextmanager
def alone_by_file(path: Path) -> Iterator[None]:
    """Hold a study that is a file of this machine; the lock goes with the process, however it ends.

    Raises:
        UserError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(_BUSY.format(where=path)) from error
        yield


@contextmanager
def alone_by_database(storage: RDBStorage, study: str) -> Iterator[None]:
    """Hold a study of a Postgres database, by an advisory lock that goes with the connection; others are not held.

    Raises:
        UserError: another connection holds it.
    """
    if storage.engine.dialect.name != "postgresql":
        yield
        return
    with storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        got = connection.execute(text("SELECT pg_try_advisory_lock(hashtext(:study))"), {"study": study}).scalar()
        if not got:
            raise UserError(_BUSY.format(where=f"{storage.engine.url.host}/{storage.engine.url.database}, {study}"))
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(hashtext(:study))"), {"study": study})
