"""Records on disk until they are sent: a queue in one SQLite file, which outlives kill -9."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.common.layout import STATE, home
from pipeline.tracking.outbox.artifact_copies import drop_abandoned, drop_copy
from pipeline.tracking.outbox.records import Record
from pipeline.tracking.outbox.warn_once import WarnOnce
from pipeline.tracking.place import portable

_FILE = "spool.db"
_BUSY_S = 1.0
_QUIET_S = 5.0
_IN_MEMORY = 10_000
_TABLES = """
CREATE TABLE IF NOT EXISTS records (
  number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, target TEXT, payload TEXT, time_ms INTEGER
);
CREATE TABLE IF NOT EXISTS runs (local TEXT PRIMARY KEY, run TEXT NOT NULL);
"""
_ADD = "INSERT INTO records (kind, target, payload, time_ms) VALUES (:kind, :target, :payload, :time_ms)"
_QUEUE = "SELECT number, kind, target, payload, time_ms FROM records WHERE kind NOT IN ({}) ORDER BY number"
_USER = re.compile(r"//[^/@]*@")
_RUN = "SELECT run FROM runs WHERE local = ?"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A record and its place in the queue; 0 for one that could not be written to disk."""

    number: int
    record: Record


def queue_folder(root: Path, uri: str) -> Path:
    """Where the records of the project `root` for one tracker wait, whoever signs in there."""
    folder = home(root) / STATE / "spool"
    place = folder / _hash(portable(root, uri))
    earlier = folder / _hash(uri)  # as an earlier version named it, by the whole path
    if earlier != place and earlier.is_dir() and not place.exists():
        with suppress(OSError):
            earlier.rename(place)
    return place


def _hash(uri: str) -> str:
    address = _USER.sub("//", uri).rstrip("/")
    return hashlib.sha256(address.encode(errors="surrogateescape")).hexdigest()[:16]


class RecordQueue:
    """A queue of records in a folder, first in, first out, and the tracker's ids of runs begun under a local name.

    Several threads and processes may add at a time; one of them sends (`hold_send_lock`). While the disk is full,
    records stay in memory, up to 10 000 of them, and are written when there is room.

    Raises:
        OSError: the folder cannot be made.
        sqlite3.Error: the file cannot be made or read.
    """

    def __init__(self, folder: Path, warn: WarnOnce | None = None) -> None:
        self.folder = folder
        self.copies = folder / "files"
        self.lost = 0
        self._warn = warn or WarnOnce()
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._unwritten: deque[Record] = deque()
        self._quiet_until = -float("inf")
        self._done: set[int] = set()
        self._runs: dict[str, str] = {}
        self.copies.mkdir(parents=True, exist_ok=True)
        self._prepare()

    def append(self, record: Record) -> None:
        """Add a record behind all others. Never fails: what the disk does not take stays in memory."""
        with self._lock:
            if len(self._unwritten) >= _IN_MEMORY:
                self.lost += 1
                return
            self._unwritten.append(record)
            if time.monotonic() >= self._quiet_until:
                self._write()

    def batch(self, most: int, without: Sequence[str] = ()) -> list[Waiting]:
        """The oldest record; with those behind it, up to `most`, if all are metrics of one run. Empty: none wait.

        Args:
            without: kinds that are passed over.
        """
        found: list[Waiting] = []
        with closing(self._db.execute(_QUEUE.format(",".join("?" * len(without))), without)) as rows:
            for number, kind, target, payload, at in rows:
                if number in self._done:
                    continue
                if found and (kind, target) != ("metrics", found[0].record.target):
                    break
                record = Record(kind=kind, target=target, payload=json.loads(payload), time_ms=at)
                found.append(Waiting(number=number, record=record))
                if kind != "metrics" or len(found) == most:
                    break
        return found or self._from_memory(without)

    def done(self, batch: Sequence[Waiting]) -> None:
        """Forget a batch, which was sent or refused. On a full disk that lasts as long as this process only."""
        with self._lock:
            if self._unwritten and self._unwritten[0] is batch[0].record:
                self._unwritten.popleft()
        self._done |= {waiting.number for waiting in batch if waiting.number}
        with suppress(sqlite3.OperationalError):
            with self._db as db:
                db.executemany("DELETE FROM records WHERE number = ?", [(number,) for number in self._done])
            self._done = set()
        for waiting in batch:
            if waiting.record.kind == "artifact":
                drop_copy(self.copies, waiting.record.payload["copy"])

    def newest(self) -> int:
        """The place of the last record, to ask `waiting` for."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM records").fetchone()[0])

    def waiting(self, up_to: int | None = None) -> int:
        """How many records are not sent; with a place, of those no younger than it."""
        last = self.newest() if up_to is None else up_to
        found = self._db.execute("SELECT count(*) FROM records WHERE number <= ?", (last,)).fetchone()
        return int(found[0]) - sum(number <= last for number in [*self._done]) + len(self._unwritten)

    def unwritten(self) -> int:
        """How many records are in memory alone, because the disk does not take them, tried once more."""
        with self._lock:
            if self._unwritten:
                self._write()
            return len(self._unwritten)

    def run_of(self, local: str) -> str | None:
        """The tracker's id of a run begun under a local name; None while there is none."""
        if local not in self._runs and (row := self._db.execute(_RUN, (local,)).fetchone()):
            self._runs[local] = row[0]
        return self._runs.get(local)

    def know(self, local: str, run: str) -> None:
        """Remember the tracker's id of a run."""
        self._runs[local] = run
        with suppress(sqlite3.OperationalError), self._db as db:
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (local, run))

    def _from_memory(self, without: Sequence[str]) -> list[Waiting]:
        with self._lock:
            return [Waiting(number=0, record=record) for record in [*self._unwritten][:1] if record.kind not in without]

    @property
    def _db(self) -> sqlite3.Connection:
        if not hasattr(self._thread, "db"):
            self._thread.db = sqlite3.connect(self.folder / _FILE, timeout=_BUSY_S)
            self._thread.db.execute("PRAGMA synchronous = NORMAL")
        db: sqlite3.Connection = self._thread.db
        return db

    def _prepare(self) -> None:
        try:
            self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            aside = self.folder / f"{_FILE}.broken-{int(time.time())}"
            self._warn("broken", f"the waiting records cannot be read ({error}); they are put aside as {aside}")
            del self._thread.db
            (self.folder / _FILE).rename(aside)
            for name in (f"{_FILE}-wal", f"{_FILE}-shm"):
                (self.folder / name).unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_TABLES)
        kept = self._db.execute("SELECT json_extract(payload, '$.copy') FROM records WHERE kind = 'artifact'")
        drop_abandoned(self.copies, {name for (name,) in kept})

    def _write(self) -> None:
        rows = [asdict(record) | {"payload": json.dumps(dict(record.payload))} for record in self._unwritten]
        try:
            with self._db as db:
                db.executemany(_ADD, rows)
            self._unwritten.clear()
        except sqlite3.Error as error:
            self._quiet_until = time.monotonic() + _QUIET_S
            self._warn(
                "disk",
                f"records for the tracker cannot be written into {self.folder} ({error}); they wait in memory and "
                "are lost if this process ends first: free some space",
            )


def known_run(folder: Path, local: str) -> str | None:
    """`RecordQueue.run_of`, read from the folder of a queue that need not be open, or even there."""
    try:
        with closing(sqlite3.connect(f"{(folder / _FILE).as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as db:
            row = db.execute(_RUN, (local,)).fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else None
