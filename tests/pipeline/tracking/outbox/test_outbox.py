"""Whoever records waits for nobody, except shortly where it needs an answer."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from pipeline.tracking.outbox.outbox import Delivery, within
from pipeline.tracking.outbox.records import local_id
from pipeline.tracking.outbox.sender_thread import SenderThread
from pipeline.tracking.outbox.store import RecordQueue
from pipeline.tracking.outbox.warn_once import WarnOnce
from tests.pipeline.tracking.outbox.test_sender_thread import Tracker, put, until
from tests.pipeline.tracking.outbox.test_store import record


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def queue(tmp_path: Path) -> RecordQueue:
    return RecordQueue(tmp_path / "queue")


def delivery(queue: RecordQueue, tracker: Tracker) -> Delivery:
    warn = WarnOnce()
    return Delivery(
        queue, SenderThread(queue, tracker.send, lambda error: False, tracker.ask, warn, 0.01, 0.0, 0.2), warn
    )


def test_a_thousand_records_for_an_absent_tracker_take_no_time(queue: RecordQueue, tracker: Tracker) -> None:
    tracker.away = True
    taking = delivery(queue, tracker)
    began = time.monotonic()
    for number in range(1000):
        taking.put(record(number))
    assert time.monotonic() - began < 5
    assert taking.flush(0.2, 0.1) == 1000
    tracker.away = False
    assert taking.flush(30, 10) == 0
    assert tracker.got == list(range(1000))


def test_what_an_earlier_process_left_goes_first(queue: RecordQueue, tracker: Tracker) -> None:
    put(queue, range(5))
    taking = delivery(RecordQueue(queue.folder), tracker)
    taking.put(record(5))
    assert taking.flush(30, 10) == 0
    assert tracker.got == [0, 1, 2, 3, 4, 5]


def test_the_end_waits_for_some_seconds_in_all_and_says_what_is_left(
    queue: RecordQueue, tracker: Tracker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.outbox.outbox._CLOSING_S", 0.3)
    tracker.away = True
    taking = delivery(queue, tracker)
    taking.put(record(0))
    until(lambda: taking.away)
    caplog.clear()
    began = time.monotonic()
    for _ in range(10):
        taking.close()
    assert 0.3 <= time.monotonic() - began < 2
    (said,) = [entry.message for entry in caplog.records if entry.levelno == logging.WARNING]
    assert said.startswith("1 record for the tracker waits in ")
    tracker.away = False
    until(lambda: queue.waiting() == 0)


def test_a_run_s_id_is_waited_for_shortly(queue: RecordQueue, tracker: Tracker) -> None:
    taking = delivery(queue, tracker)
    known, unknown = local_id(), local_id()
    queue.know(known, "abc")
    began = time.monotonic()
    assert [taking.run_id(name) for name in ("xyz", known, unknown, unknown, unknown)] == [
        "xyz", "abc", unknown, unknown, unknown,
    ]  # fmt: skip
    assert 1 < time.monotonic() - began < 3


def test_an_artifact_is_what_it_was_when_it_was_recorded(
    queue: RecordQueue, tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.away = True
    taking = delivery(queue, tracker)
    (tmp_path / "a.txt").write_text("before")
    taking.put_file("run", tmp_path / "a.txt", "folder")
    taking.put_file("run", tmp_path / "nowhere", "folder")
    (tmp_path / "a.txt").unlink()
    (waiting,) = queue.batch(9)
    assert (queue.copies / waiting.record.payload["copy"] / "a.txt").read_text() == "before"
    assert "nowhere is missing" in caplog.text
    tracker.away = False
    assert taking.flush(30, 10) == 0
    until(lambda: not list(queue.copies.iterdir()))


def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.1 s"):
        within(0.1, lambda: time.sleep(2))
    assert time.monotonic() - began < 1
