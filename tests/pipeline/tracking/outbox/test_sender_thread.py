"""Laws of the thread that sends: in order, nothing lost, nothing twice, and nobody waits for it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.tracking.outbox.records import Kind, Record
from pipeline.tracking.outbox.sender_thread import SenderThread
from pipeline.tracking.outbox.store import RecordQueue
from pipeline.tracking.outbox.warn_once import WarnOnce
from tests.pipeline.tracking.outbox.test_store import record


class Refused(Exception):
    pass


class Tracker:
    """Keeps what it is sent under its time, as a store does that knows a point it has seen."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.sent: list[int] = []
        self.asked = 0
        self.away = False
        self.refuses: set[int] = set()
        self.files_away = False
        self.late_s: float | None = None

    def send(self, records: Sequence[Record]) -> None:
        times = [record.time_ms for record in records]
        self.sent += times
        if self.late_s is not None:
            threading.Timer(self.late_s, self.keep, [times]).start()
            self.late_s = None
            raise TimeoutError("no answer")
        if self.away or (self.files_away and records[0].kind == "text"):
            raise ConnectionError("no route")
        if self.refuses & set(times):
            raise Refused("no")
        self.keep(times)

    def keep(self, times: list[int]) -> None:
        self.got += [time for time in times if time not in self.got]

    def ask(self) -> None:
        self.asked += 1
        if self.away:
            raise ConnectionError("no route")


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def queue(tmp_path: Path) -> RecordQueue:
    return RecordQueue(tmp_path)


def sender_thread(queue: RecordQueue, tracker: Tracker, settle_s: float = 0.0) -> SenderThread:
    return SenderThread(
        queue, tracker.send, lambda error: isinstance(error, Refused), tracker.ask, WarnOnce(), 0.01, settle_s, 0.2
    )


def put(queue: RecordQueue, numbers: Sequence[int], kind: Kind = "tags") -> None:
    for number in numbers:
        queue.append(record(number, kind))


def until(true: Callable[[], bool], patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(sending: SenderThread) -> bool:
    return sending._thread is None or not sending._thread.is_alive()


@pytest.mark.parametrize("kind", ["tags", "metrics"])
def test_an_absence_loses_nothing_and_keeps_the_order(
    queue: RecordQueue, tracker: Tracker, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.away = True
    sending = sender_thread(queue, tracker)
    for number in range(250):
        put(queue, [number], kind)
        sending.wake()
    until(lambda: sending.away and tracker.asked > 1)
    assert (tracker.got, queue.waiting()) == ([], 250)
    tracker.away = False
    sending.hurry()
    until(lambda: queue.waiting() == 0)
    assert tracker.got == list(range(250))
    until(lambda: not sending.away)
    assert [entry.levelno for entry in caplog.records if entry.levelno >= logging.WARNING] == [logging.WARNING]
    assert "wait in" in caplog.text


def test_while_nobody_answers_a_question_nothing_is_sent(queue: RecordQueue, tracker: Tracker) -> None:
    tracker.away = True
    put(queue, range(5))
    sender_thread(queue, tracker).wake()
    until(lambda: tracker.asked >= 3)
    assert tracker.sent == [0]
    tracker.away = False
    until(lambda: queue.waiting() == 0)


def test_what_arrives_late_is_not_overtaken_by_its_repetition(queue: RecordQueue, tracker: Tracker) -> None:
    """A hung server goes on with what it was asked before: the thread lets that happen first."""
    tracker.late_s = 0.2
    put(queue, range(3))
    began = time.monotonic()
    sender_thread(queue, tracker, settle_s=0.4).wake()
    until(lambda: tracker.got == [0])
    assert tracker.sent == [0]
    until(lambda: queue.waiting() == 0)
    assert time.monotonic() - began >= 0.4
    assert (tracker.got, tracker.sent) == ([0, 1, 2], [0, 0, 1, 2])


@pytest.mark.parametrize("kind", ["tags", "metrics"])
def test_a_refusal_is_said_once_and_holds_up_nothing(
    queue: RecordQueue, tracker: Tracker, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.refuses = {3, 7}
    put(queue, range(10), kind)
    sender_thread(queue, tracker).wake()
    until(lambda: queue.waiting() == 0)
    assert tracker.got == [0, 1, 2, 4, 5, 6, 8, 9]
    assert len([entry for entry in caplog.records if "refused" in entry.message]) == 1


def test_files_that_cannot_go_let_the_others_pass_and_keep_their_order(queue: RecordQueue, tracker: Tracker) -> None:
    tracker.files_away = True
    for number in range(20):
        put(queue, [number], "text" if number % 5 == 1 else "metrics")
    sending = sender_thread(queue, tracker)
    sending.wake()
    others = [number for number in range(20) if number % 5 != 1]
    until(lambda: len(tracker.got) == len(others))
    assert (tracker.got, queue.waiting()) == (others, 4)
    tracker.files_away = False
    until(lambda: queue.waiting() == 0)
    assert tracker.got == [*others, 1, 6, 11, 16]


def test_the_thread_ends_when_nothing_is_left_and_begins_again(queue: RecordQueue, tracker: Tracker) -> None:
    sending = sender_thread(queue, tracker)
    for number in range(2):
        put(queue, [number])
        sending.wake()
        until(lambda: queue.waiting() == 0)
        until(lambda: ended(sending))
    assert tracker.got == [0, 1]


def test_two_senders_of_one_queue_send_nothing_twice(queue: RecordQueue, tracker: Tracker, tmp_path: Path) -> None:
    put(queue, range(300))
    for sending in (sender_thread(queue, tracker), sender_thread(RecordQueue(tmp_path), tracker)):
        sending.wake()
    until(lambda: queue.waiting() == 0)
    assert tracker.got == tracker.sent == list(range(300))


SEND = """
import json, os, sys
from pathlib import Path
from pipeline.tracking.outbox.sender_thread import SenderThread
from pipeline.tracking.outbox.warn_once import WarnOnce
from pipeline.tracking.outbox.store import RecordQueue
from pipeline.tracking.outbox.records import Record

folder, last = Path(sys.argv[1]), int(sys.argv[2])
queue, store = RecordQueue(folder), folder / "store.json"

def send(records):
    kept = json.loads(store.read_text()) if store.exists() else {}
    times = [record.time_ms for record in records]
    store.write_text(json.dumps(kept | {str(time): kept.get(str(time), 0) + 1 for time in times}))
    if last in times:
        os.kill(os.getpid(), 9)

if not queue.waiting():
    for number in range(10):
        queue.append(Record(kind="tags", target="run", payload={"a": "b"}, time_ms=number))
sending = SenderThread(queue, send, lambda error: False, lambda: None, WarnOnce(), 0.01, 0.01)
sending.wake()
sending._thread.join()
"""


def test_a_kill_between_sending_and_the_answer_repeats_that_record_alone(tmp_path: Path, root: Path) -> None:
    for last, status in ((4, -9), (99, 0)):
        done = subprocess.run([sys.executable, "-c", SEND, str(tmp_path), str(last)], cwd=root, timeout=60)
        assert done.returncode == status
    times = json.loads((tmp_path / "store.json").read_text())
    assert list(times) == [str(number) for number in range(10)]
    assert times == {str(number): 2 if number == 4 else 1 for number in range(10)}
