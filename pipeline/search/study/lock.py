"""One driver per study: a second one would hand out the trials of the first, and both would train them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from optuna.storages import RDBStorage
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipeline.common.errors import UserError

_BUSY = "another search works on this study ({where}): wait until it ends, or end it; then the same command goes on"
_KEEPALIVES = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
"""Seconds, and how often: the server finds within two minutes that a driver's machine is gone, and no router forgets an
idle connection. By themselves they take two hours."""


@contextmanager
def alone_by_file(path: Path) -> Iterator[Callable[[], None]]:
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
        yield lambda: None


@contextmanager
def alone_by_database(storage: RDBStorage, study: str) -> Iterator[Callable[[], None]]:
    """Hold a study of a Postgres database, by an advisory lock that goes with the connection; others are not held.

    Yields:
        What to call before more work is handed out: a server that was started anew has forgotten the lock, so it is
        taken again. Raises UserError where another has it by then.

    Raises:
        UserError: another connection holds it.
    """
    if storage.engine.dialect.name != "postgresql":
        yield lambda: None
        return
    hold = _Hold(storage, study)
    hold.take()
    try:
        yield hold.keep
    finally:
        hold.leave()


class _Hold:
    """An advisory lock of Postgres and the connection that it lives with."""

    def __init__(self, storage: RDBStorage, study: str) -> None:
        self._engine, self._study = storage.engine, study
        self._connection: Connection | None = None

    def take(self) -> None:
        self.leave()
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        for name, value in _KEEPALIVES.items():
            connection.execute(text(f"SET {name} = {value}"))
        got = connection.execute(text("SELECT pg_try_advisory_lock(hashtext(:study))"), {"study": self._study}).scalar()
        if not got:
            connection.close()
            url = self._engine.url
            raise UserError(_BUSY.format(where=f"{url.host}/{url.database}, {self._study}"))
        self._connection = connection

    def keep(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
                return
        except DBAPIError:
            pass
        self.take()

    def leave(self) -> None:
        """Give it up; where the connection is gone, so is the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()
