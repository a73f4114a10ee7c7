"""What a trial tells after a step, typed on both sides of Ray Tune."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_NESTED = ("curve", "spent", "score", "record")
"""Fields that travel as JSON text: Tune flattens results."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report of the trainable to the searcher and the reporter. What was not told is None, False or empty.

    Attributes:
        reached, phase, loss: iterations that were trained, and how; not where a report covers several rungs.
        curve: points of the training since the last report: `iteration`, `loss` and its terms.
        rung: rungs that are done.
        spent: seconds, by kind of machine, and iterations.
        score: figures at a rung at which trials are compared.
        kept: a checkpoint is in the store.
        record: figures of the ended trial, whose network is in the store.
        failed: why there is no network, or none to hand out.
        away: why the store cannot be reached; the trial waits.
        done: nothing follows.
    """

    reached: int | None = None
    phase: str = ""
    loss: float | None = None
    curve: tuple[dict[str, float], ...] = ()
    rung: int | None = None
    spent: dict[str, Any] | None = None
    score: dict[str, float] | None = None
    kept: bool = False
    record: dict[str, Any] | None = None
    failed: str | None = None
    away: str | None = None
    done: bool = False

    def to_result(self) -> dict[str, Any]:
        """What was told, as Tune takes it.

        Raises:
            ValueError: a record with numbers that are not finite.
        """
        result = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                is_nested = field.name in _NESTED
                result[field.name] = json.dumps(value, allow_nan=field.name != "record") if is_nested else value
        return result

    @staticmethod
    def from_result(result: Mapping[str, Any]) -> Report:
        """Read what `to_result` wrote; what Tune adds is left out."""
        told = {field.name: result[field.name] for field in fields(Report) if field.name in result}
        told |= {name: json.loads(told[name]) for name in _NESTED if name in told}
        if "curve" in told:
            told["curve"] = tuple(told["curve"])
        return Report(**told)
