"""What trials cost, and the bound on it at which a search puts its trials down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import CostConfig, Limits


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Dollars of an hour of one CPU core and of one GPU."""

    cpu_hour_usd: float
    gpu_hour_usd: float

    @classmethod
    def of(cls, config: CostConfig) -> Rates:
        """The rates of the parameters."""
        return cls(cpu_hour_usd=config.cpu_hour_usd, gpu_hour_usd=config.gpu_hour_usd)

    def usd(self, spent: Mapping[str, float]) -> float:
        """Dollars of `cpu_seconds` and `gpu_seconds`; what is missing counts nothing."""
        cpu, gpu = (spent.get(f"{kind}_seconds", 0.0) / 3600 for kind in ("cpu", "gpu"))
        return cpu * self.cpu_hour_usd + gpu * self.gpu_hour_usd


class Spending:
    """Sums up a search's cost, and tells when a limit is reached; once it is, it stays so.

    Args:
        rates: of the resources.
        limits: none where null.
        before_usd: that the study's ended trials have cost.
        clock: monotonic seconds.
        under_way_usd: that trials have cost, by number, which were suspended.
    """

    def __init__(
        self,
        rates: Rates,
        limits: Limits,
        before_usd: float,
        clock: Callable[[], float] = time.monotonic,
        under_way_usd: Mapping[int, float] | None = None,
    ) -> None:
        self.rates, self._limits, self._ended_usd, self._clock = rates, limits, before_usd, clock
        self._began = clock()
        self._running = dict(under_way_usd or {})
        self._reached: str | None = None

    def recount(self, before_usd: float, under_way_usd: Mapping[int, float]) -> None:
        """Begin anew with what the study says by now: others spend, too."""
        self._ended_usd, self._running = before_usd, dict(under_way_usd)

    def running(self, trial: int, spent: Mapping[str, float]) -> None:
        """A running trial has cost so much."""
        self._running[trial] = self.rates.usd(spent)

    def ended(self, trial: int, usd: float | None = None) -> None:
        """A trial has cost so much, or as much as it last reported, and costs no more."""
        reported = self._running.pop(trial, 0.0)
        self._ended_usd += reported if usd is None else usd

    @property
    def usd(self) -> float:
        """Dollars so far, running trials up to their last report."""
        return self._ended_usd + sum(self._running.values())

    @property
    def reached(self) -> str | None:
        """Which limit is reached, in words; None where none is."""
        self._reached = self._reached or self._look()
        return self._reached

    def _look(self) -> str | None:
        hours = (self._clock() - self._began) / 3600
        if self._limits.hours is not None and hours >= self._limits.hours:
            return f"search.limits.hours: {hours:.2g} of {self._limits.hours:.2g} hours"
        if self._limits.usd is not None and self.usd >= self._limits.usd:
            return f"search.limits.usd: {self.usd:.2g} of {self._limits.usd:.2g} dollars"
        return None


def spent_usd(records: Iterable[dict[str, Any]]) -> float:
    """Dollars of ended trials, as their records say."""
    return sum(row["metrics"].get("usd", 0.0) for row in records)
