"""Laws of the queue on disk: first in, first out; nothing is lost to a kill, a full disk or a second process."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tracking.outbox.records import Record, local_id
from pipeline.tracking.outbox.store import RecordQueue, known_run, queue_folder

WRITE = """
import os, resource, signal, sys
from pathlib import Path
from pipeline.tracking.outbox.records import Record
from pipeline.tracking.outbox.store import RecordQueue

def put(queue, number):
    payload = {"values": {"m": number}, "step": number}
    queue.append(Record(kind="metrics", target=sys.argv[2], payload=payload, time_ms=number))
"""


def record(number: int, kind: str = "metrics", target: str = "run") -> Record:
    payload = {"values": {"m": float(number)}, "step": number} if kind == "metrics" else {"a": str(number)}
    return Record(kind=kind, target=target, payload=payload, time_ms=number)  # type: ignore[arg-type]


def writer(code: str, folder: Path, root: Path, target: str = "run") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE + code, str(folder), target]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def steps(queue: RecordQueue) -> list[int]:
    """The records' times, the queue being emptied one by one."""
    found = []
    while batch := queue.batch(1):
        found += [waiting.record.time_ms for waiting in batch]
        queue.done(batch)
    return found


def test_what_was_put_in_comes_out_in_order_from_another_opening(tmp_path: Path) -> None:
    queue = RecordQueue(tmp_path)
    for number in range(50):
        queue.append(record(number))
    again = RecordQueue(tmp_path)
    assert again.waiting() == 50
    assert again.batch(1)[0].record == record(0)
    assert steps(again) == list(range(50))
    assert (again.waiting(), queue.waiting(), queue.batch(9)) == (0, 0, [])


@pytest.mark.parametrize(
    ("kinds", "first"),
    [
        (["metrics"] * 7, 5),
        (["metrics", "metrics", "tags", "metrics"], 2),
        (["tags", "tags"], 1),
        (["metrics", "metrics of another", "metrics"], 1),
    ],
)
def test_only_metrics_of_one_run_are_taken_together(tmp_path: Path, kinds: list[str], first: int) -> None:
    queue = RecordQueue(tmp_path)
    for number, kind in enumerate(kinds):
        queue.append(record(number, kind.split()[0], target="another" if "another" in kind else "run"))
    assert len(queue.batch(5)) == first


def test_records_up_to_a_place_are_counted_without_younger_ones(tmp_path: Path) -> None:
    queue = RecordQueue(tmp_path)
    for number in range(3):
        queue.append(record(number))
    mark = queue.newest()
    queue.append(record(3))
    assert (queue.waiting(mark), queue.waiting()) == (3, 4)
    queue.done(queue.batch(2))
    assert (queue.waiting(mark), queue.waiting()) == (1, 2)


def test_the_tracker_s_ids_outlive_the_process(tmp_path: Path) -> None:
    local = local_id()
    assert known_run(tmp_path / "nowhere", local) is None
    assert RecordQueue(tmp_path).run_of(local) is None
    RecordQueue(tmp_path).know(local, "abc")
    assert (RecordQueue(tmp_path).run_of(local), known_run(tmp_path, local)) == ("abc", "abc")


def test_every_tracker_and_project_has_its_own(tmp_path: Path) -> None:
    folders = {queue_folder(root, uri) for root in (tmp_path, tmp_path / "a") for uri in ("http://a:1", "http://b:1")}
    assert queue_folder(tmp_path, "http://ann:secret@a:1/") == queue_folder(tmp_path, "http://a:1")
    assert len(folders) == 4
    assert not any("//" in str(folder) for folder in folders)


def test_two_processes_lose_nothing_and_keep_each_its_order(tmp_path: Path, root: Path) -> None:
    code = "queue = RecordQueue(Path(sys.argv[1]))\n[put(queue, n) for n in range(300)]"
    RecordQueue(tmp_path)
    started = [writer(code, tmp_path, root, target) for target in ("a", "b")]
    assert [process.wait(60) for process in started] == [0, 0]
    queue = RecordQueue(tmp_path)
    found: dict[str, list[int]] = {"a": [], "b": []}
    while batch := queue.batch(1):
        found[batch[0].record.target].append(batch[0].record.time_ms)
        queue.done(batch)
    assert found == {"a": list(range(300)), "b": list(range(300))}


def test_a_kill_takes_nothing_that_was_put_in(tmp_path: Path, root: Path) -> None:
    code = """
queue = RecordQueue(Path(sys.argv[1]))
for n in range(100000):
    put(queue, n)
    print(n, flush=True)
"""
    process = writer(code, tmp_path, root)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "100\n":
            process.kill()
            break
    told = [100, *(int(line) for line in process.stdout)]
    assert process.wait(60) == -signal.SIGKILL
    found = steps(RecordQueue(tmp_path))
    assert found == list(range(len(found)))
    assert len(found) > told[-1]


FULL = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
queue = RecordQueue(Path(sys.argv[1]))
[put(queue, n) for n in range(10)]
resource.setrlimit(resource.RLIMIT_FSIZE, (40000, resource.RLIM_INFINITY))
for n in range(10, 300):
    put(queue, n)
print(queue.unwritten())
seen = []
for _ in range(320):
    if batch := queue.batch(1):
        seen.append(batch[0].record.time_ms)
        queue.done(batch) if ROOM == "never" else None
assert ROOM != "never" or seen == list(range(300)), seen
if ROOM == "later":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(queue.unwritten())
"""


@pytest.mark.parametrize("room", ["later", "never"])
def test_a_full_disk_is_one_warning_and_its_records_wait_in_memory(tmp_path: Path, root: Path, room: str) -> None:
    """Until there is room, or until they are sent from there."""
    process = writer(FULL.replace("ROOM", repr(room)), tmp_path, root)
    said, warned = process.communicate(timeout=60)
    assert process.returncode == 0, warned
    before, after = map(int, said.split())
    assert before > 50
    assert after == 0
    assert warned.count("free some space") == warned.count("\n") == 1
    if room == "later":
        assert steps(RecordQueue(tmp_path)) == list(range(300))


def test_a_file_that_is_no_queue_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "spool.db").write_bytes(b"something else" * 1000)
    with caplog.at_level(logging.WARNING):
        queue = RecordQueue(tmp_path)
    queue.append(record(1))
    assert steps(queue) == [1]
    assert "put aside" in caplog.text
    assert len(list(tmp_path.glob("spool.db.broken-*"))) == 1
