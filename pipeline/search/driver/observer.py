"""What is told of a search's trials, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pipeline.cluster.report import Report
from pipeline.search.study.space import Point

End = Literal["finished", "stopped", "failed", "suspended"]
"""How a trial ended: to count, to count without a network, not to count, or to go on another time."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial that was handed out.

    Attributes:
        reached: iterations that were trained before it was suspended or its driver died.
        had_ended: whether all of it was trained and measured by then, and only its driver did not hear of it.
    """

    number: int
    key: str
    point: Point
    reached: int = 0
    had_ended: bool = False


class Observer(Protocol):
    """Is told of the trials, in the driver."""

    def started(self, asked: Asked) -> None:
        """A trial was handed to a worker."""

    def reached(self, asked: Asked, report: Report) -> None:
        """A rung is done, or the trial waits for the store: `away` is why."""

    def ended(self, asked: Asked, record: dict[str, Any], end: End, reason: str | None) -> None:
        """A trial ended, for a reason if it did not finish; one that nobody wants any more was not started before."""
