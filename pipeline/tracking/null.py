"""The tracker that records nothing, for tests and for runs without tracking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.tracking.api import Found, Run, Status, Version
from pipeline.tracking.keys import check_key


class NullRun:
    """A run that forgets everything it is told."""

    id = ""

    def params(self, values: Mapping[str, Any]) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None: ...

    def tags(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path, folder: str = "") -> None: ...

    def text(self, text: str, name: str) -> None: ...

    def json(self, value: Any, name: str) -> None: ...

    def finish(self, status: Status = "FINISHED") -> None: ...


class NullTracker:
    """Keeps to the `Tracker` protocol and records nothing."""

    uri = ""
    experiment_id = ""

    def start(self, name: str, *, key: str | None = None, **rest: Any) -> Run:
        check_key(key)
        return NullRun()

    def run(self, run_id: str) -> Run:
        return NullRun()

    def find(self, tags: Mapping[str, str] | None = None) -> list[Found]:
        return []

    def tag_experiment(self, tags: Mapping[str, str]) -> None: ...

    def experiment_tags(self) -> Mapping[str, str]:
        return {}

    def register(self, run_id: str, name: str, folder: Path, **rest: Any) -> str:
        if not folder.is_dir():
            raise FileNotFoundError(f"no network to register: {folder} is not a folder")
        return ""

    def version(self, model: str, which: str) -> Version | None:
        return None

    def set_alias(self, model: str, alias: str, version: str) -> None: ...
