"""Writing records through an MLflow client, so that writing one twice leaves the same as writing it once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.tracking.keys import CHANGED, KEY
from pipeline.tracking.outbox.records import Record, is_local, with_run_ids
from pipeline.tracking.outbox.store import RecordQueue

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_BATCH = 100
_ABSENT = (
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "ENDPOINT_NOT_FOUND",
    "UNAUTHENTICATED",
)
_NOT_NOW = (401, 408, 429)
_OURS = (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError)


class CopyGone(Exception):
    """The copy of an artifact was removed while it waited."""


def is_refusal(error: Exception) -> bool:
    """Whether the error is a verdict on the record, and not a sign that the tracker is away.

    MLflow's own errors carry a code. Artifacts may go to a file server or a bucket, whose answers carry a status. Other
    errors are an absence (no route, no space, a locked database), unless no second try can mend them.
    """
    if (code := getattr(error, "error_code", None)) is not None:
        return code not in _ABSENT
    if (status := _status(error)) is not None:
        return 400 <= status < 500 and status not in _NOT_NOW
    return isinstance(error, CopyGone) or (isinstance(error, _OURS) and not isinstance(error, OSError))


def _status(error: Exception) -> int | None:
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping):
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return getattr(answer, "status_code", None)


class Sender:
    """Calls the client method that a kind of record stands for; raises what the client raises.

    A run is looked for by its key before it is made, and its id is told to the queue.
    """

    def __init__(self, client: MlflowClient, queue: RecordQueue) -> None:
        self._client, self._queue = client, queue
        self._write: Mapping[str, Callable[[str, Record], None]] = {
            "start": self._start,
            "params": self._params,
            "tags": self._tags,
            "artifact": self._artifact,
            "text": self._text,
            "status": self._status,
            "experiment-tags": self._experiment_tags,
        }

    def __call__(self, records: Sequence[Record]) -> None:
        """Write one record, or several with the metrics of one run."""
        target = records[0].target
        run_id = (is_local(target) and self._queue.run_of(target)) or target
        if records[0].kind == "metrics":
            self._metrics(run_id, records)
            return
        (record,) = records
        self._write[record.kind](run_id, record)

    def ask(self) -> None:
        """A question without effect."""
        self._client.search_experiments(max_results=1)

    def _start(self, run_id: str, record: Record) -> None:
        made = record.payload
        tags = self._named(made["tags"])
        wanted = f"tags.`{KEY}` = '{tags[KEY]}'"
        try:
            found = self._client.search_runs([made["experiment"]], wanted, max_results=1, order_by=["start_time DESC"])
            if found:
                run_id = found[0].info.run_id
                self._client.update_run(run_id, status="RUNNING")
                self._tag(run_id, tags)
            else:
                created = self._client.create_run(made["experiment"], record.time_ms, tags, made["name"])
                run_id = created.info.run_id
        except Exception as error:
            if is_refusal(error):
                self._queue.know(record.target, record.target)
            raise
        self._queue.know(record.target, run_id)

    def _metrics(self, run_id: str, records: Sequence[Record]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, record.time_ms, record.payload["step"])
            for record in records
            for name, value in record.payload["values"].items()
        ]
        for batch in _batches(metrics):
            self._client.log_batch(run_id, metrics=batch)

    def _params(self, run_id: str, record: Record) -> None:
        """A run that goes on with other parameters keeps the first, as MLflow wants it; tags say the new ones."""
        values = self._named(record.payload)
        try:
            self._log_params(run_id, values)
        except Exception as error:
            there = self._client.get_run(run_id).data.params if is_refusal(error) else {}
            changed = {name: value for name, value in values.items() if there.get(name, value) != value}
            if not changed:
                raise
            self._log_params(run_id, {name: value for name, value in values.items() if name not in there})
            self._tag(run_id, {f"{CHANGED}{name}": value for name, value in changed.items()})

    def _log_params(self, run_id: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        for batch in _batches(values.items()):
            self._client.log_batch(run_id, params=[Param(name, value) for name, value in batch])

    def _tags(self, run_id: str, record: Record) -> None:
        self._tag(run_id, self._named(record.payload))

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        for batch in _batches(tags.items()):
            self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in batch])

    def _artifact(self, run_id: str, record: Record) -> None:
        copy, name = self._queue.copies / record.payload["copy"], record.payload["file"]
        path = copy / name if name else copy
        if not path.exists():
            raise CopyGone(f"{path} is missing")
        log = self._client.log_artifact if name else self._client.log_artifacts
        log(run_id, str(path), record.payload["folder"] or None)

    def _text(self, run_id: str, record: Record) -> None:
        self._client.log_text(run_id, record.payload["text"], record.payload["name"])

    def _status(self, run_id: str, record: Record) -> None:
        self._client.set_terminated(run_id, record.payload["status"], record.time_ms)

    def _experiment_tags(self, experiment_id: str, record: Record) -> None:
        for name, value in self._named(record.payload).items():
            self._client.set_experiment_tag(experiment_id, name, value)

    def _named(self, values: Mapping[str, str]) -> dict[str, str]:
        named: dict[str, str] = with_run_ids(values, self._queue.run_of)
        return named


def _batches(values: Any) -> Iterator[list[Any]]:
    items = iter(values)
    while batch := list(islice(items, _BATCH)):
        yield batch
