"""Runs in MLflow, by explicit run ids: the fluent API's hidden active run is never used."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.common.errors import UserError
from pipeline.common.progress import count
from pipeline.tracking.api import Found, Run, Status, Version
from pipeline.tracking.keys import KEY, STAGE, check_key
from pipeline.tracking.outbox.outbox import Delivery, within
from pipeline.tracking.outbox.records import Kind, Record, is_local, local_id, now_ms
from pipeline.tracking.registry import find_version, register_folder

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_log = logging.getLogger(__name__)
_PARENT = "mlflow.parentRunId"
_PAGE = 1000
_SENDING_S, _STALL_S = 60.0, 3.0
_ANSWER_S = 6.0
_QUIET_S = 30.0

T = TypeVar("T")


class MlflowRun:
    """A run of an MLflow experiment.

    Args:
        run_id: MLflow's, or a local one.
        delivery: takes its records.
        last: whether the process has little left to do when this run is finished, so that it may wait to send the rest.
    """

    def __init__(self, run_id: str, delivery: Delivery, last: bool = False) -> None:
        self._id = run_id
        self._delivery = delivery
        self._last = last

    @property
    def id(self) -> str:
        self._id = self._delivery.run_id(self._id)
        return self._id

    def params(self, values: Mapping[str, Any]) -> None:
        self._put("params", {key: str(value) for key, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        finite = {key: float(value) for key, value in values.items() if math.isfinite(value)}
        if finite:
            self._put("metrics", {"values": finite, "step": step})

    def tags(self, values: Mapping[str, str]) -> None:
        self._put("tags", {key: str(value) for key, value in values.items()})

    def artifact(self, path: Path, folder: str = "") -> None:
        self._delivery.put_file(self._id, path, folder)

    def text(self, text: str, name: str) -> None:
        self._put("text", {"text": text, "name": name})

    def json(self, value: Any, name: str) -> None:
        self.text(json.dumps(value, indent=2, ensure_ascii=False), name)

    def finish(self, status: Status = "FINISHED") -> None:
        self._put("status", {"status": status})
        if self._last:
            self._delivery.close()

    def _put(self, kind: Kind, payload: Mapping[str, Any]) -> None:
        if payload:
            self._delivery.put(Record(kind=kind, target=self._id, payload=payload, time_ms=now_ms()))


class MlflowTracker:
    """An experiment of an MLflow store or server; made by `open_tracker`.

    Args:
        client: bound to the store.
        uri: of the store.
        experiment_id: where the runs go.
        delivery: takes the records.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str, delivery: Delivery) -> None:
        self.uri = uri
        self.experiment_id = experiment_id
        self._client = client
        self._delivery = delivery
        self._quiet_until = -math.inf

    def start(
        self,
        name: str,
        *,
        stage: str,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        key: str | None = None,
    ) -> Run:
        check_key(key)
        local = local_id()
        all_tags = {**{name: str(value) for name, value in (tags or {}).items()}, STAGE: stage, KEY: key or local}
        if parent:
            all_tags[_PARENT] = parent
        payload = {"experiment": self.experiment_id, "name": name, "tags": all_tags}
        self._delivery.put(Record(kind="start", target=local, payload=payload, time_ms=now_ms()))
        return MlflowRun(local, self._delivery, last=parent is None)

    def run(self, run_id: str) -> Run:
        return MlflowRun(run_id, self._delivery)

    def find(self, tags: Mapping[str, str] | None = None) -> list[Found]:
        nothing: list[Found] = []
        return self._read(lambda: self._search(tags or {}), nothing, "the recorded runs")

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        payload = {name: str(value) for name, value in tags.items()}
        self._delivery.put(Record(kind="experiment-tags", target=self.experiment_id, payload=payload, time_ms=now_ms()))

    def experiment_tags(self) -> Mapping[str, str]:
        nothing: Mapping[str, str] = {}
        return self._read(lambda: dict(self._client.get_experiment(self.experiment_id).tags), nothing, "the experiment")

    def register(
        self,
        run_id: str,
        name: str,
        folder: Path,
        *,
        tags: Mapping[str, str],
        aliases: Sequence[str] = (),
        card: str = "",
    ) -> str:
        if not folder.is_dir():
            raise FileNotFoundError(f"no network to register: {folder} is not a folder")
        try:
            self._catch_up()
            return register_folder(self._client, self._made(run_id), name, folder, tags, aliases, card)
        except Exception as error:
            _log.warning("%s is not registered as %s: %s", folder, name, error)
            return ""

    def version(self, model: str, which: str) -> Version | None:
        return self._read(lambda: find_version(self._client, model, which), None, f"the registered model {model}")

    def set_alias(self, model: str, alias: str, version: str) -> None:
        try:
            within(_ANSWER_S, lambda: self._client.set_registered_model_alias(model, alias, version))
        except Exception as error:  # each kind of store has its own
            raise UserError(f"{model}@{alias} cannot be set in {self.uri}: {error}") from error

    def _read(self, call: Callable[[], T], otherwise: T, what: str) -> T:
        if time.monotonic() < self._quiet_until:
            return otherwise
        try:
            left = self._catch_up()
            answer = within(_ANSWER_S, call)
        except Exception as error:
            self._quiet_until = time.monotonic() + _QUIET_S
            _log.warning("%s cannot be read: %s", what, error)
            return otherwise
        if left:
            _log.warning("%s may be out of date: not yet sent: %s", what, count(left, "record"))
        return answer

    def _catch_up(self) -> int:
        left = self._delivery.flush(_SENDING_S, _STALL_S / 3 if self._delivery.away else _STALL_S)
        if left and self._delivery.away:
            raise ConnectionError("the tracker does not answer")
        return left

    def _made(self, run_id: str) -> str:
        known = self._delivery.run_id(run_id)
        if is_local(known):
            raise ConnectionError("the tracker has not made the run yet")
        return known

    def _search(self, tags: Mapping[str, str]) -> list[Found]:
        wanted = " and ".join(f"tags.`{name}` = '{self._delivery.run_id(value)}'" for name, value in tags.items())
        found: list[Found] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], wanted, max_results=_PAGE, order_by=["start_time DESC"], page_token=token
            )
            found += [_found(run) for run in page]
            token = page.token
            if not token:
                return found


def _found(run: Any) -> Found:
    return Found(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )
