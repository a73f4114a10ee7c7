"""Runs in MLflow, by explicit run ids: the fluent API's hidden active run is never used."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tracking.api import Found, Run, Status
from pipeline.tracking.delivery import Delivery, Kind, Record
from pipeline.tracking.keys import KEY, STAGE, check_key
from pipeline.tracking.null import NullRun
from pipeline.tracking.registry import register_folder
from pipeline.tracking.sending import Sender, is_refusal

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_log = logging.getLogger(__name__)
_PARENT = "mlflow.parentRunId"
_PAGE = 1000


class MlflowRun:
    """A run of an MLflow experiment, known by its id."""

    def __init__(self, run_id: str, deliver: Delivery) -> None:
        self.id = run_id
        self._deliver = deliver

    def params(self, values: Mapping[str, Any]) -> None:
        self._put("params", {key: str(value) for key, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        finite = {key: float(value) for key, value in values.items() if math.isfinite(value)}
        if finite:
            self._put("metrics", {"values": finite, "step": step})

    def tags(self, values: Mapping[str, str]) -> None:
        self._put("tags", {key: str(value) for key, value in values.items()})

    def artifact(self, path: Path, folder: str = "") -> None:
        self._put("artifact", {"path": str(path), "folder": folder})

    def text(self, text: str, name: str) -> None:
        self._put("text", {"text": text, "name": name})

    def json(self, value: Any, name: str) -> None:
        self.text(json.dumps(value, indent=2, ensure_ascii=False), name)

    def finish(self, status: Status = "FINISHED") -> None:
        self._put("status", {"status": status})

    def _put(self, kind: Kind, payload: Mapping[str, Any]) -> None:
        if payload:
            self._deliver(Record(kind=kind, target=self.id, payload=payload, time_ms=_now_ms()))


class MlflowTracker:
    """An experiment of an MLflow store or server; made by `open_tracker`.

    Args:
        client: bound to the store.
        uri: of the store.
        experiment_id: where the runs go.
        pause_s: see `Delivery`.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str, pause_s: float = 30.0) -> None:
        self.uri = uri
        self.experiment_id = experiment_id
        self._client = client
        self._deliver = Delivery(Sender(client), is_refusal, pause_s)

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
        all_tags = {**(tags or {}), STAGE: stage}
        if parent:
            all_tags[_PARENT] = parent
        if key:
            all_tags[KEY] = key
        try:
            return self._take_up(key, all_tags) or self._create(name, all_tags)
        except Exception as error:
            _log.warning("the run %s of %s is not recorded, the tracker cannot be reached: %s", name, stage, error)
            return NullRun()

    def run(self, run_id: str) -> Run:
        return MlflowRun(run_id, self._deliver)

    def find(self, tags: Mapping[str, str] | None = None) -> list[Found]:
        try:
            return self._search(tags or {})
        except Exception as error:
            _log.warning("the recorded runs cannot be read: %s", error)
            return []

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        self._deliver(Record(kind="experiment-tags", target=self.experiment_id, payload=dict(tags), time_ms=_now_ms()))

    def experiment_tags(self) -> Mapping[str, str]:
        try:
            return dict(self._client.get_experiment(self.experiment_id).tags)
        except Exception as error:
            _log.warning("the experiment cannot be read: %s", error)
            return {}

    def register(
        self, run_id: str, name: str, folder: Path, *, tags: Mapping[str, str], aliases: Sequence[str] = ()
    ) -> str:
        if not folder.is_dir():
            raise FileNotFoundError(f"no network to register: {folder} is not a folder")
        try:
            return register_folder(self._client, run_id, name, folder, tags, aliases)
        except Exception as error:
            _log.warning("%s is not registered as %s: %s", folder, name, error)
            return ""

    def _take_up(self, key: str | None, tags: Mapping[str, str]) -> Run | None:
        found = self._search({KEY: key}) if key else []
        if not found:
            return None
        run = self.run(found[0].id)
        self._client.update_run(run.id, status="RUNNING")
        run.tags(tags)
        return run

    def _create(self, name: str, tags: Mapping[str, str]) -> Run:
        created = self._client.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        return self.run(created.info.run_id)

    def _search(self, tags: Mapping[str, str]) -> list[Found]:
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
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


def _now_ms() -> int:
    return int(time.time() * 1000)
