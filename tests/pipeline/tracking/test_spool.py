"""Laws of the queue on disk: first in, first out; nothing is lost to a kill, a full disk or a second process."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tracking.outbox.records import Record, local_id
from pipeline.tracking.outbox.store import Spool, known_run, spool_folder

WRITE = """
import os, resource, signal, sys
from pathlib import Path
from pipeline.tracking.outbox.records import Record
from pipeline.tracking.outbox.store import Spool

def put(spool, number):
    payload = {"values": {"m": number}, "step": number}
    spool.append(Record(kind="metrics", target=sys.argv[2], payload=payload, time_ms=number))
"""


def record(number: int, kind: str = "metrics", target: str = "run") -> Record:
    payload = {"values": {"m": float(number)}, "step": number} if kind == "metrics" else {"a": str(number)}
    return Record(kind=kind, target=target, payload=payload, time_ms=number)  # type: ignore[arg-type]


def writer(code: str, folder: Path, root: Path, target: str = "run") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITE + code, str(folder), target]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def steps(spool: Spool) -> list[int]:
    """The records' times, the queue being emptied one by one."""
    found = []
    while batch := spool.batch(1):
        found += [waiting.record.time_ms for waiting in batch]
        spool.done(batch)
    return found


def test_what_was_put_in_comes_out_in_order_from_another_opening(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(50):
        spool.append(record(number))
    again = Spool(tmp_path)
    assert again.waiting() == 50
    assert again.batch(1)[0].record == record(0)
    assert steps(again) == list(range(50))
    assert (again.waiting(), spool.waiting(), spool.batch(9)) == (0, 0, [])


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
    spool = Spool(tmp_path)
    for number, kind in enumerate(kinds):
        spool.append(record(number, kind.split()[0], target="another" if "another" in kind else "run"))
    assert len(spool.batch(5)) == first


def test_records_up_to_a_place_are_counted_without_younger_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(3):
        spool.append(record(number))
    mark = spool.newest()
    spool.append(record(3))
    assert (spool.waiting(mark), spool.waiting()) == (3, 4)
    spool.done(spool.batch(2))
    assert (spool.waiting(mark), spool.waiting()) == (1, 2)


def test_the_tracker_s_ids_outlive_the_process(tmp_path: Path) -> None:
    local = local_id()
    assert known_run(tmp_path / "nowhere", local) is None
    assert Spool(tmp_path).run_of(local) is None
    Spool(tmp_path).know(local, "abc")
    assert (Spool(tmp_path).run_of(local), known_run(tmp_path, local)) == ("abc", "abc")


def test_every_tracker_and_project_has_its_own(tmp_path: Path) -> None:
    folders = {spool_folder(root, uri) for root in (tmp_path, tmp_path / "a") for uri in ("http://a:1", "http://b:1")}
    assert spool_folder(tmp_path, "http://ann:secret@a:1/") == spool_folder(tmp_path, "http://a:1")
    assert len(folders) == 4
    assert not any("//" in str(folder) for folder in folders)


def test_two_processes_lose_nothing_and_keep_each_its_order(tmp_path: Path, root: Path) -> None:
    code = "spool = Spool(Path(sys.argv[1]))\n[put(spool, n) for n in range(300)]"
    Spool(tmp_path)
    started = [writer(code, tmp_path, root, target) for target in ("a", "b")]
    assert [process.wait(60) for process in started] == [0, 0]
    spool = Spool(tmp_path)
    found: dict[str, list[int]] = {"a": [], "b": []}
    while batch := spool.batch(1):
        found[batch[0].record.target].append(batch[0].record.time_ms)
        spool.done(batch)
    assert found == {"a": list(range(300)), "b": list(range(300))}


def test_a_kill_takes_nothing_that_was_put_in(tmp_path: Path, root: Path) -> None:
    code = """
spool = Spool(Path(sys.argv[1]))
for n in range(100000):
    put(spool, n)
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
    found = steps(Spool(tmp_path))
    assert found == list(range(len(found)))
    assert len(found) > told[-1]


FULL = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]))
[put(spool, n) for n in range(10)]
resource.setrlimit(resource.RLIMIT_FSIZE, (40000, resource.RLIM_INFINITY))
for n in range(10, 300):
    put(spool, n)
print(spool.unwritten())
seen = []
for _ in range(320):
    if batch := spool.batch(1):
        seen.append(batch[0].record.time_ms)
        spool.done(batch) if ROOM == "never" else None
assert ROOM != "never" or seen == list(range(300)), seen
if ROOM == "later":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(spool.unwritten())
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
        assert steps(Spool(tmp_path)) == list(range(300))


def test_a_file_that_is_no_queue_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "spool.db").write_bytes(b"something else" * 1000)
    with caplog.at_level(logging.WARNING):
        spool = Spool(tmp_path)
    spool.append(record(1))
    assert steps(spool) == [1]
    assert "put aside" in caplog.text
    assert len(list(tmp_path.glob("spool.db.broken-*"))) == 1
