"""Records on their way to the tracker: whoever records never waits for it and never dies of it."""

from __future__ import annotations

import atexit
import logging
import queue
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.common.progress import count
from pipeline.tracking.outbox.artifact_copies import keep_copy
from pipeline.tracking.outbox.records import Record, is_local, now_ms
from pipeline.tracking.outbox.sender_thread import SenderThread
from pipeline.tracking.outbox.store import RecordQueue
from pipeline.tracking.outbox.warn_once import WarnOnce

_log = logging.getLogger(__name__)
_ID_S = 1.5
_CLOSING_S = 6.0
_POLL_S = 0.01

T = TypeVar("T")


class Delivery:
    """Takes records into a queue, from which a thread sends them.

    Waiting happens in three places only, and while the tracker is away it is short: for the id of a run (1.5 seconds in
    all), before something is read (`flush`), and at the end (`close`, 6 seconds in all).
    """

    def __init__(self, queue: RecordQueue, sender_thread: SenderThread, warn: WarnOnce) -> None:
        self._queue, self._sender_thread, self._warn = queue, sender_thread, warn
        self._id_left_s, self._closing_left_s = _ID_S, _CLOSING_S
        self._told = 0
        atexit.register(_end, weakref.ref(self))
        sender_thread.wake()

    @property
    def away(self) -> bool:
        """Whether the tracker did not answer when it was last tried."""
        return self._sender_thread.away

    @property
    def lost(self) -> int:
        """How many records are gone if the process ends now."""
        return self._queue.lost + self._queue.unwritten()

    def put(self, record: Record) -> None:
        """Take a record."""
        self._queue.append(record)
        self._sender_thread.wake()

    def put_file(self, run_id: str, path: Path, folder: str) -> None:
        """Take a copy of a file, or of what a folder holds, as an artifact; one that is too large is warned about."""
        try:
            copy = keep_copy(path, self._queue.copies)
        except (OSError, ValueError) as error:
            _log.warning("an artifact is not recorded: %s", error)
            return
        payload = {"copy": copy, "file": None if path.is_dir() else path.name, "folder": folder}
        self.put(Record(kind="artifact", target=run_id, payload=payload, time_ms=now_ms()))

    def run_id(self, run_id: str) -> str:
        """The tracker's id of a run that was begun under a local name, or that name while there is none."""
        if not is_local(run_id):
            return run_id
        begun = time.monotonic()
        while not (known := self._known(run_id)) and time.monotonic() - begun < self._id_left_s and not self.away:
            time.sleep(_POLL_S)
        if not known:
            self._id_left_s -= time.monotonic() - begun
        return known or run_id

    def flush(self, limit_s: float, stall_s: float) -> int:
        """Wait until what was taken so far is sent, `limit_s` at most, and `stall_s` without any record sent.

        Returns:
            How many of those records still wait.
        """
        try:
            return self._flush(limit_s, stall_s)
        except sqlite3.Error as error:
            self._warn("queue", f"the records that wait in {self._queue.folder} cannot be read: {error}")
            return self._queue.unwritten()

    def close(self) -> None:
        """Wait a little for what is not sent, and say what is left; records are still taken."""
        begun = time.monotonic()
        left = self.flush(self._closing_left_s, self._closing_left_s)
        if left:
            self._closing_left_s = max(0.0, self._closing_left_s - (time.monotonic() - begun))
        unwritten = self._queue.unwritten()
        if left > unwritten and left != self._told:
            waits = f"{count(left - unwritten, 'record')} for the tracker {'wait' if left - unwritten > 1 else 'waits'}"
            kept = f"{waits} in {self._queue.folder}"
            _log.warning("%s; the next stage, or `python -m pipeline ui`, sends what waits", kept)
        self._told = left

    def _known(self, run_id: str) -> str | None:
        try:
            return self._queue.run_of(run_id)
        except sqlite3.Error:
            return None

    def _flush(self, limit_s: float, stall_s: float) -> int:
        mark = self._queue.newest()
        left = self._queue.waiting(mark)
        now = begun = moved = time.monotonic()
        if left:
            self._sender_thread.hurry()
        while left and now - begun < limit_s and now - moved < stall_s:
            time.sleep(_POLL_S)
            before, left, now = left, self._queue.waiting(mark), time.monotonic()
            if left < before:
                moved = now
        return left


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises, if it does so in time.

    Raises:
        TimeoutError: it takes longer; it goes on in a thread that nobody waits for.
    """
    answers: queue.SimpleQueue[tuple[T, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = answers.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError(f"no answer within {limit_s:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def _end(reference: weakref.ref[Delivery]) -> None:
    """At the end of the process."""
    delivery = reference()
    if delivery is not None:
        delivery.close()
        if lost := delivery.lost:
            _log.warning("%d records for the tracker are lost: they could be neither sent nor written to disk", lost)
