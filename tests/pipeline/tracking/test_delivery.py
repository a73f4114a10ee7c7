"""Whoever records waits for nobody, except shortly where it needs an answer."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from pipeline.tracking.outbox.outbox import Delivery, within
from pipeline.tracking.outbox.records import local_id
from pipeline.tracking.outbox.sender_thread import Courier
from pipeline.tracking.outbox.store import Spool
from pipeline.tracking.outbox.warn_once import WarnOnce
from tests.pipeline.tracking.test_courier import Tracker, put, until
from tests.pipeline.tracking.test_spool import record


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def delivery(spool: Spool, tracker: Tracker) -> Delivery:
    warn = WarnOnce()
    return Delivery(spool, Courier(spool, tracker.send, lambda error: False, tracker.ask, warn, 0.01, 0.0, 0.2), warn)


def test_a_thousand_records_for_an_absent_tracker_take_no_time(spool: Spool, tracker: Tracker) -> None:
    tracker.away = True
    taking = delivery(spool, tracker)
    began = time.monotonic()
    for number in range(1000):
        taking.put(record(number))
    assert time.monotonic() - began < 5
    assert taking.flush(0.2, 0.1) == 1000
    tracker.away = False
    assert taking.flush(30, 10) == 0
    assert tracker.got == list(range(1000))


def test_what_an_earlier_process_left_goes_first(spool: Spool, tracker: Tracker) -> None:
    put(spool, range(5))
    taking = delivery(Spool(spool.folder), tracker)
    taking.put(record(5))
    assert taking.flush(30, 10) == 0
    assert tracker.got == [0, 1, 2, 3, 4, 5]


def test_the_end_waits_for_some_seconds_in_all_and_says_what_is_left(
    spool: Spool, tracker: Tracker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tracking.outbox.outbox._CLOSING_S", 0.3)
    tracker.away = True
    taking = delivery(spool, tracker)
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
    until(lambda: spool.waiting() == 0)


def test_a_run_s_id_is_waited_for_shortly(spool: Spool, tracker: Tracker) -> None:
    taking = delivery(spool, tracker)
    known, unknown = local_id(), local_id()
    spool.know(known, "abc")
    began = time.monotonic()
    assert [taking.run_id(name) for name in ("xyz", known, unknown, unknown, unknown)] == [
        "xyz", "abc", unknown, unknown, unknown,
    ]  # fmt: skip
    assert 1 < time.monotonic() - began < 3


def test_an_artifact_is_what_it_was_when_it_was_recorded(
    spool: Spool, tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.away = True
    taking = delivery(spool, tracker)
    (tmp_path / "a.txt").write_text("before")
    taking.put_file("run", tmp_path / "a.txt", "folder")
    taking.put_file("run", tmp_path / "nowhere", "folder")
    (tmp_path / "a.txt").unlink()
    (waiting,) = spool.batch(9)
    assert (spool.copies / waiting.record.payload["copy"] / "a.txt").read_text() == "before"
    assert "nowhere is missing" in caplog.text
    tracker.away = False
    assert taking.flush(30, 10) == 0
    until(lambda: not list(spool.copies.iterdir()))


def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.1 s"):
        within(0.1, lambda: time.sleep(2))
    assert time.monotonic() - began < 1
