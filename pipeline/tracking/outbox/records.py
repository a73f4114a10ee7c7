"""What is recorded, as plain data that is kept on disk and sent later, and the names of runs that are not made yet."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

_LOCAL = re.compile(r"local-[0-9a-f]{32}")

Kind = Literal["start", "params", "metrics", "tags", "artifact", "text", "status", "experiment-tags"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing to write.

    Args:
        kind: what it is.
        target: the run, by the tracker's id or by a local one; of `experiment-tags` the experiment.
        payload: JSON values.
        time_ms: when it happened, milliseconds since 1970. It goes with the record, so that one sent twice shows once.
    """

    kind: Kind
    target: str
    payload: Mapping[str, Any]
    time_ms: int


def now_ms() -> int:
    """The time of day in milliseconds since 1970."""
    return int(time.time() * 1000)


def local_id() -> str:
    """A new name for a run that the tracker has not made yet."""
    return f"local-{uuid4().hex}"


def is_local(run_id: str) -> bool:
    """Whether this is such a name and not an id of the tracker's."""
    return _LOCAL.fullmatch(run_id) is not None


def with_run_ids(value: Any, run_of: Callable[[str], str | None]) -> Any:
    """A JSON value in whose texts every local name became the tracker's id, as far as that is known.

    A run's parent, the runs that it read from and the filter of the Pareto view name runs inside tags.
    """
    if isinstance(value, str):
        return _LOCAL.sub(lambda match: run_of(match[0]) or match[0], value)
    if isinstance(value, Mapping):
        return {key: with_run_ids(inner, run_of) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [with_run_ids(inner, run_of) for inner in value]
    return value
