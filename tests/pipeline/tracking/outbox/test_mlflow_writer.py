"""Every record can be sent twice to a real store and shows once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking import open_tracker
from pipeline.tracking.keys import CHANGED, KEY
from pipeline.tracking.mlflow_tracker import MlflowTracker
from pipeline.tracking.outbox.artifact_copies import keep_copy
from pipeline.tracking.outbox.mlflow_writer import CopyGone, Sender, is_refusal
from pipeline.tracking.outbox.records import Kind, Record, local_id
from pipeline.tracking.outbox.store import RecordQueue


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> MlflowTracker:
    return open_tracker("sending", tmp_path_factory.mktemp("project"))


@pytest.fixture
def queue(tmp_path: Path) -> RecordQueue:
    return RecordQueue(tmp_path / "queue")


@pytest.fixture
def sender(tracker: MlflowTracker, queue: RecordQueue) -> Sender:
    return Sender(tracker._client, queue)


def start(tracker: MlflowTracker, key: str, local: str = "", **tags: str) -> Record:
    payload = {"experiment": tracker.experiment_id, "name": "r", "tags": {"stage": "s", KEY: key, **tags}}
    return Record(kind="start", target=local or local_id(), payload=payload, time_ms=1_700_000_000_000)


def records(target: str, copy: str) -> list[Record]:
    payloads: list[tuple[Kind, dict[str, Any]]] = [
        ("params", {"a": "1"}),
        ("metrics", {"values": {"m": 1.5, "n": 2.5}, "step": 3}),
        ("metrics", {"values": {"m": 0.5}, "step": 4}),
        ("tags", {"t": "u"}),
        ("artifact", {"copy": copy, "file": "a.txt", "folder": "f"}),
        ("text", {"text": "hello", "name": "notes.md"}),
        ("status", {"status": "FINISHED"}),
    ]
    return [
        Record(kind=kind, target=target, payload=payload, time_ms=1_700_000_000_100 + n)
        for n, (kind, payload) in enumerate(payloads)
    ]


def test_twice_is_once(tracker: MlflowTracker, queue: RecordQueue, sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    local, copy = local_id(), keep_copy(tmp_path / "a.txt", queue.copies)
    for record in [start(tracker, "twice", local), *records(local, copy)]:
        sender([record])
        sender([record])
    (found,) = tracker.find({KEY: "twice"})
    assert (found.id, found.status, found.params) == (queue.run_of(local), "FINISHED", {"a": "1"})
    client = tracker._client
    points = [(point.value, point.step, point.timestamp) for point in client.get_metric_history(found.id, "m")]
    assert points == [(1.5, 3, 1_700_000_000_101), (0.5, 4, 1_700_000_000_102)]
    assert client.get_run(found.id).info.start_time == 1_700_000_000_000
    assert client.get_run(found.id).info.end_time == 1_700_000_000_106
    assert [entry.path for entry in client.list_artifacts(found.id)] == ["f", "notes.md"]


def test_metrics_of_many_records_go_together(tracker: MlflowTracker, queue: RecordQueue, sender: Sender) -> None:
    local = local_id()
    sender([start(tracker, "many", local)])
    many = [
        Record(kind="metrics", target=local, payload={"values": {"m": n / 7, "n": 1.0}, "step": n}, time_ms=n)
        for n in range(250)
    ]
    sender(many)
    sender(many[100:])
    points = tracker._client.get_metric_history(queue.run_of(local), "m")
    assert [(point.value, point.step) for point in points] == [(n / 7, n) for n in range(250)]


def test_a_run_that_was_made_unseen_is_found_by_its_key(
    tracker: MlflowTracker, queue: RecordQueue, sender: Sender
) -> None:
    """Its answer was lost, and so was the process that waited for it."""
    lost = start(tracker, "unseen")
    Sender(tracker._client, RecordQueue(queue.folder / "another"))([lost])
    sender([lost])
    (found,) = tracker.find({KEY: "unseen"})
    assert queue.run_of(lost.target) == found.id


def test_runs_named_in_tags_get_the_tracker_s_ids(tracker: MlflowTracker, queue: RecordQueue, sender: Sender) -> None:
    parent, child = local_id(), local_id()
    sender([start(tracker, "parent", parent)])
    sender([start(tracker, "child", child, **{"mlflow.parentRunId": parent})])
    sender([Record(kind="tags", target=child, payload={"upstream.search": parent}, time_ms=0)])
    view = {"view": f'{{"filter": "parent = \'{parent}\'"}}'}
    sender([Record(kind="experiment-tags", target=tracker.experiment_id, payload=view, time_ms=0)])
    (found,) = tracker.find({KEY: "child"})
    assert found.tags["mlflow.parentRunId"] == found.tags["upstream.search"] == queue.run_of(parent)
    assert tracker.experiment_tags()["view"] == f'{{"filter": "parent = \'{queue.run_of(parent)}\'"}}'


def test_a_run_that_goes_on_keeps_its_first_parameters_and_says_what_changed(
    tracker: MlflowTracker, sender: Sender
) -> None:
    local = local_id()
    sender([start(tracker, "changed", local)])
    for trials, new in (("8", {}), ("9", {"new": "x"}), ("9", {"new": "x"})):
        payload = {"trials": trials, "same": "1", **new}
        sender([Record(kind="params", target=local, payload=payload, time_ms=0)])
    (found,) = tracker.find({KEY: "changed"})
    assert found.params == {"trials": "8", "same": "1", "new": "x"}
    assert {name: value for name, value in found.tags.items() if name.startswith(CHANGED)} == {"changed.trials": "9"}


def test_what_belongs_to_a_refused_run_is_refused(tracker: MlflowTracker, sender: Sender) -> None:
    local = local_id()
    begun = start(tracker, "refused", local)
    nowhere = replace(begun, payload={**begun.payload, "experiment": "999999"})
    refused = [nowhere, *records(local, "gone")]
    for record in refused:
        with pytest.raises(Exception) as caught:
            sender([record])
        assert is_refusal(caught.value), record.kind


def coded(code: str) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    return MlflowException("said", ErrorCode.Value(code))


def answered(status: int, library: str) -> Exception:
    error = OSError("answered") if library == "requests" else RuntimeError("answered")
    answer: Any = {"ResponseMetadata": {"HTTPStatusCode": status}}
    if library == "requests":
        import requests

        answer = requests.Response()
        answer.status_code = status
    error.response = answer  # type: ignore[attr-defined, union-attr]
    return error


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (lambda: coded("INVALID_PARAMETER_VALUE"), True),
        (lambda: coded("RESOURCE_DOES_NOT_EXIST"), True),
        (lambda: coded("INTERNAL_ERROR"), False),
        (lambda: coded("TEMPORARILY_UNAVAILABLE"), False),
        (lambda: coded("UNAUTHENTICATED"), False),
        (lambda: answered(413, "requests"), True),
        (lambda: answered(401, "requests"), False),
        (lambda: answered(503, "requests"), False),
        (lambda: answered(403, "botocore"), True),
        (lambda: answered(500, "botocore"), False),
        (lambda: ConnectionError("no route"), False),
        (lambda: OSError(28, "no space left on device"), False),
        (lambda: PermissionError("not yours"), False),
        (lambda: RuntimeError("anything"), False),
        (lambda: CopyGone("missing"), True),
        (lambda: TypeError("a fault of the code"), True),
        (lambda: "\ud800".encode(), True),
    ],
)
def test_what_counts_as_a_refusal(error: Any, refused: bool) -> None:
    try:
        made = error()
    except UnicodeError as raised:
        made = raised
    assert is_refusal(made) is refused
