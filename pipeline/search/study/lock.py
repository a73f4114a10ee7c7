"""Who works on a study, and on which of its trials: two that hand out the same trial would both train it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from optuna.storages import RDBStorage
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipeline.common.errors import UserError

_BUSY = "another search works on this study ({where}): wait until it ends, or end it; then the same command goes on"
_PAUSE_S = 0.2
_KEEPALIVES = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
"""Seconds, and how often: the server finds within two minutes that a holder's machine is gone, and no router forgets an
idle connection. By themselves they take two hours."""


class Busy(UserError):
    """Somebody else has the lock."""


class Lock(Protocol):
    """Held by at most one process, and not for longer than that lives, however it ends."""

    def take(self) -> None:
        """Raises Busy where another process has it."""

    def keep(self) -> None:
        """To be called before one relies on it once more. Raises Busy where it was lost, and another has it by now."""

    def leave(self) -> None:
        """Give it up."""


def is_free(lock: Lock) -> bool:
    """Whether nobody has it, at this moment."""
    try:
        lock.take()
    except Busy:
        return False
    lock.leave()
    return True


@contextmanager
def alone(lock: Lock, patience_s: float = 0.0) -> Iterator[Callable[[], None]]:
    """Hold a lock.

    Args:
        patience_s: seconds for which one that another has is tried again.

    Yields:
        `lock.keep`.

    Raises:
        Busy: another process holds it.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            lock.take()
            break
        except Busy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
    try:
        yield lock.keep
    finally:
        lock.leave()


class FileLock:
    """Of a study that is a file, for the processes of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """See `Lock`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise Busy(_BUSY.format(where=self._path)) from error
        self._file = file

    def keep(self) -> None:
        """Nothing: it cannot be lost."""

    def leave(self) -> None:
        """See `Lock`."""
        if self._file is not None:
            self._file.close()
            self._file = None


class DatabaseLock:
    """An advisory lock of Postgres, and the connection that it lives with; other databases hold nobody off.

    A server that was started anew has forgotten it, so `keep` takes it again.
    """

    def __init__(self, storage: RDBStorage, name: str) -> None:
        self._engine, self._name = storage.engine, name
        self._connection: Connection | None = None

    def take(self) -> None:
        """See `Lock`."""
        self.leave()
        if self._engine.dialect.name != "postgresql":
            return
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        for name, value in _KEEPALIVES.items():
            connection.execute(text(f"SET {name} = {value}"))
        got = connection.execute(text("SELECT pg_try_advisory_lock(hashtext(:name))"), {"name": self._name}).scalar()
        if not got:
            connection.close()
            url = self._engine.url
            raise Busy(_BUSY.format(where=f"{url.host}/{url.database}, {self._name}"))
        self._connection = connection

    def keep(self) -> None:
        """See `Lock`."""
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
