"""Writing one record through an MLflow client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tracking.delivery import Record

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_BATCH = 100
_ABSENT = (None, "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


def is_refusal(error: Exception) -> bool:
    """Whether the error is the store's verdict on the record, and not a sign that the store is away."""
    return isinstance(error, FileNotFoundError) or getattr(error, "error_code", None) not in _ABSENT


class Sender:
    """Calls the client method that each kind of record stands for; raises what the client raises."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __call__(self, record: Record) -> None:
        getattr(self, "_" + record.kind.replace("-", "_"))(record)

    def _params(self, record: Record) -> None:
        from mlflow.entities import Param

        for batch in _batches(record.payload):
            self._client.log_batch(record.target, params=[Param(key, value) for key, value in batch.items()])

    def _metrics(self, record: Record) -> None:
        from mlflow.entities import Metric

        step = record.payload["step"]
        for batch in _batches(record.payload["values"]):
            metrics = [Metric(key, value, record.time_ms, step) for key, value in batch.items()]
            self._client.log_batch(record.target, metrics=metrics)

    def _tags(self, record: Record) -> None:
        from mlflow.entities import RunTag

        for batch in _batches(record.payload):
            self._client.log_batch(record.target, tags=[RunTag(key, value) for key, value in batch.items()])

    def _artifact(self, record: Record) -> None:
        path, folder = Path(record.payload["path"]), record.payload["folder"] or None
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing")
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        log(record.target, str(path), folder)

    def _text(self, record: Record) -> None:
        self._client.log_text(record.target, record.payload["text"], record.payload["name"])

    def _status(self, record: Record) -> None:
        self._client.set_terminated(record.target, record.payload["status"], record.time_ms)

    def _experiment_tags(self, record: Record) -> None:
        for key, value in record.payload.items():
            self._client.set_experiment_tag(record.target, key, value)


def _batches(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = iter(values.items())
    while batch := dict(islice(items, _BATCH)):
        yield batch
