"""One sender at a time among the processes of a project, and whether the last one left something in doubt."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(kw_only=True)
class SendLock:
    """The right to send; `doubtful` while a record may have arrived, or may still arrive, though nobody was told."""

    doubtful: bool


@contextmanager
def hold_send_lock(path: Path) -> Iterator[SendLock | None]:
    """Hold the lock file `path`; None if somebody else holds it.

    The file is not empty while somebody sends, and stays so after a kill: then the next holder is in doubt at first. It
    stays so too if the holder leaves it doubtful.
    """
    with path.open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        held = SendLock(doubtful=os.fstat(file.fileno()).st_size > 0)
        with suppress(OSError):
            file.truncate(0)
            file.write(b"sending\n")
        try:
            yield held
            if not held.doubtful:
                file.truncate(0)
        finally:  # by name: a child process that was forked meanwhile keeps the file open
            fcntl.flock(file, fcntl.LOCK_UN)
