"""A stage as a run: what it read, what made it, how long it took, how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pipeline.common.files import atomic_write_json
from pipeline.common.fingerprint import fingerprint
from pipeline.common.layout import OUTPUTS, STATE, home
from pipeline.tracking.api import Run, Status, Tracker
from pipeline.tracking.facts import run_facts
from pipeline.tracking.keys import DATASET, REASON, UPSTREAM
from pipeline.tracking.outbox.records import is_local
from pipeline.tracking.outbox.store import known_run, queue_folder
from pipeline.tracking.place import portable

_REASON_LENGTH = 1000


def _flatten(params: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and dataclasses as one level with dotted names; lists become JSON text."""
    if is_dataclass(params) and not isinstance(params, type):
        params = asdict(params)
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value, default=str) if isinstance(value, list | tuple) else value
    return flat


def last_run_id(root: Path, stage: str) -> str | None:
    """The run that made the stage's present outputs, or None if that is not known.

    Outputs that DVC has checked out, of another commit or another experiment, are those of the run that made them.
    """
    try:
        path = _state_file(root, stage)
        if not path.parent.exists():
            path = path.parent.with_suffix(".json")  # as an earlier version kept it
        state = json.loads(path.read_text(encoding="utf-8"))
        run_id, uri = state["run_id"], state.get("tracking_uri", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(run_id, str) or not run_id:
        return None
    return (is_local(run_id) and known_run(queue_folder(root, str(uri)), run_id)) or run_id


@contextmanager
def stage_run(
    tracker: Tracker,
    stage: str,
    params: Any,
    *,
    root: Path,
    upstream: Sequence[str] = (),
    dataset_sha256: str | None = None,
    tags: Mapping[str, str] | None = None,
    key: str | None = None,
) -> Iterator[Run]:
    """Record the work of the block as a run named after the stage.

    The run is tagged `upstream.<stage>` with the id of the run that made each input, so that the chain can be followed
    back. Ids are kept in the project's `.state/runs/<stage>/`, under a fingerprint of the stage's outputs, when the
    block ends well. So each of several experiments finds its own, whatever DVC has checked out.

    Args:
        params: a mapping or dataclass, nested or not, recorded under dotted names.
        root: the project folder.
        upstream: stages whose outputs the block reads.
        dataset_sha256: of the images' manifest.
        key: see `Tracker.start`; an interrupted search gives one to go on in the same run.

    Raises:
        Whatever the block raises, after the run is marked FAILED, or KILLED on an interrupt, with the reason as a tag.
    """
    lineage = {f"{UPSTREAM}{name}": run_id for name in upstream if (run_id := last_run_id(root, name))}
    dataset = {DATASET: dataset_sha256} if dataset_sha256 else {}
    run = tracker.start(stage, stage=stage, tags={**run_facts(root), **lineage, **dataset, **(tags or {})}, key=key)
    run.params(_flatten(params))
    begun = time.perf_counter()
    try:
        yield run
    except BaseException as error:
        run.tags({REASON: f"{type(error).__name__}: {error}"[:_REASON_LENGTH]})
        _close(run, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", begun)
        raise
    _close(run, "FINISHED", begun)
    _remember(root, stage, run.id, tracker.uri)


def _close(run: Run, status: Status, begun: float) -> None:
    run.metrics({"seconds": time.perf_counter() - begun})
    run.finish(status)


def _state_file(root: Path, stage: str) -> Path:
    return home(root) / STATE / "runs" / stage / f"{fingerprint(root, OUTPUTS.get(stage, ()))}.json"


def _remember(root: Path, stage: str, run_id: str, uri: str) -> None:
    path = _state_file(root, stage)
    if run_id:
        atomic_write_json(path, {"run_id": run_id, "tracking_uri": portable(root, uri)})
    else:
        path.unlink(missing_ok=True)
