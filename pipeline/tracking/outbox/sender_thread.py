"""The thread that carries waiting records to the tracker, in order, for as long as that takes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from pipeline.tracking.outbox.records import Record
from pipeline.tracking.outbox.send_lock import SendLock, hold_send_lock
from pipeline.tracking.outbox.store import RecordQueue, Waiting
from pipeline.tracking.outbox.warn_once import WarnOnce

_LONGEST_PAUSE_S = 10.0
_LINGER_S = 0.4
_OTHERS_TURN_S = 0.1
_BATCH = 100
_SAID = 400
_FILES = ("artifact", "text")

Send = Callable[[Sequence[Record]], None]


class SenderThread:
    """Sends what waits in a queue, in a daemon thread that ends when nothing is left and begins again when woken.

    A record stays at the head of the queue until the tracker has taken it or refused it. When the tracker does not
    answer, the record may still have arrived, or wait in a hung server; so it sends nothing more until a
    question is answered, lets what was under way arrive, and only then sends the record again. Files may go to a bucket
    that is away by itself: they keep their order among each other, and let all other records pass meanwhile.

    Args:
        send: writes one record, or several with the metrics of one run; raises when it could not.
        refused: whether such an error is the tracker's answer, and not its absence.
        ask: a question without effect; raises when it is not answered.
        warn: where refusals and absences are said.
        pause_s: seconds until the second try; twice as long each time, 10 at most.
        settle_s: seconds for what was under way to arrive.
        hold_s: seconds for which files are passed over when they failed and the tracker itself answers.
    """

    def __init__(
        self,
        queue: RecordQueue,
        send: Send,
        refused: Callable[[Exception], bool],
        ask: Callable[[], None],
        warn: WarnOnce,
        pause_s: float = 1.0,
        settle_s: float = 1.0,
        hold_s: float = 10.0,
    ) -> None:
        self.away = False
        self._queue, self._send, self._refused, self._ask, self._warn = queue, send, refused, ask, warn
        self._first_pause_s = self._pause_s = pause_s
        self._settle_s, self._hold_s = settle_s, hold_s
        self._news, self._hurry = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._one_by_one_up_to = 0
        self._file_error: Exception | None = None
        self._files_held_until = 0.0

    def wake(self) -> None:
        """There is something to send."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="tatsnet-tracking", daemon=True)
                self._thread.start()
        self._news.set()

    def hurry(self) -> None:
        """Somebody waits: try again at once."""
        self._pause_s, self._files_held_until = self._first_pause_s, 0.0
        self.wake()
        self._hurry.set()

    def _work(self) -> None:
        while self._more():
            try:
                with hold_send_lock(self._queue.folder / "sending.lock") as lock:
                    if lock:
                        self._drain(lock)
                if not lock:
                    time.sleep(_OTHERS_TURN_S)
                elif self._held():
                    self._pause(_LINGER_S)
            except (sqlite3.Error, OSError) as error:
                self._warn("queue", f"the records that wait in {self._queue.folder} cannot be read: {error}")
                time.sleep(_LINGER_S)

    def _more(self) -> bool:
        if not self._waits() and self._news.wait(_LINGER_S):
            self._news.clear()
            return True
        with self._lock:
            if self._waits():
                return True
            self._thread = None
            return False

    def _waits(self) -> bool:
        try:
            return self._queue.waiting() > 0
        except sqlite3.Error:
            return self._queue.folder.exists()

    def _drain(self, lock: SendLock) -> None:
        while batch := self._queue.batch(self._most(), _FILES if self._held() else ()):
            try:
                if lock.doubtful:
                    self._settle(lock)
                    continue
                self._send([waiting.record for waiting in batch])
            except Exception as error:
                if lock.doubtful or not self._refused(error):
                    self._miss(lock, batch[0].record, error)
                    continue
                if len(batch) > 1:
                    self._one_by_one_up_to = batch[-1].number
                    continue
                self._refuse(batch[0].record, error)
            self._arrived(batch)

    def _most(self) -> int:
        return _BATCH if self._one_by_one_up_to == 0 else 1

    def _held(self) -> bool:
        return time.monotonic() < self._files_held_until

    def _settle(self, lock: SendLock) -> None:
        self._ask()
        time.sleep(self._settle_s)
        lock.doubtful = self.away = False
        if self._file_error:
            self._say_away("the tracker's place for files", self._file_error)
            self._file_error = None
            self._files_held_until = time.monotonic() + self._hold_s

    def _miss(self, lock: SendLock, record: Record, error: Exception) -> None:
        self._file_error = error if record.kind in _FILES and not lock.doubtful else None
        if not self._file_error:
            self._say_away("the tracker", error)
        lock.doubtful = self.away = True
        self._pause(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _say_away(self, what: str, error: Exception) -> None:
        kept = f"the work goes on and its records wait in {self._queue.folder}"
        self._warn(f"{what} is away", f"{what} cannot be reached; {kept}: {_brief(error)}")

    def _pause(self, seconds: float) -> None:
        self._hurry.wait(seconds)
        self._hurry.clear()

    def _refuse(self, record: Record, error: Exception) -> None:
        self._warn(f"refused {record.kind}", f"the tracker refused {record.kind} of {record.target}: {_brief(error)}")

    def _arrived(self, batch: Sequence[Waiting]) -> None:
        self._queue.done(batch)
        if self._one_by_one_up_to and batch[-1].number >= self._one_by_one_up_to:
            self._one_by_one_up_to = 0
        self.away, self._pause_s = False, self._first_pause_s


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:_SAID]
