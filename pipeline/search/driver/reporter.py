"""Tells the terminal and the tracker how a search's trials go."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.cluster.report import Report
from pipeline.cluster.store import Store, StoreAway
from pipeline.common.layout import SHEET
from pipeline.common.progress import StayingLine, count, say
from pipeline.config import SearchConfig
from pipeline.report.card import artifact_address, trial_card
from pipeline.search.driver.budget import Spending
from pipeline.search.driver.estimate import Estimate
from pipeline.search.driver.live import LiveSearch
from pipeline.search.driver.observer import Asked, End
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.pareto import disobedience
from pipeline.tracking import Run, Status, Tracker
from pipeline.tracking.keys import NOTE, TRIAL_STAGE
from tatsnet.system.progress import duration

STATUS: dict[End, Status] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "suspended": "KILLED"}
BY_AXIS = ("control", "gain_db", "evenness")
"""Figures of a trial that have a value for each axis."""


class Reporter:
    """An `Observer` of the trials.

    Args:
        run: of the search.
        study: its key.
        ledger: counts the trials.
        spending: counts the money.
        live: shows the whole search; None shows nothing of it.
        line: says how the search goes, below the others.
        store: has the pictures of ended trials; None shows none.
        places: trials at a time; 0 if others train trials too, so that nobody knows how long it takes.
    """

    def __init__(
        self,
        tracker: Tracker,
        run: Run,
        config: SearchConfig,
        study: str,
        ledger: Ledger,
        spending: Spending,
        live: LiveSearch | None = None,
        line: StayingLine | None = None,
        store: Store | None = None,
        places: int | None = None,
    ) -> None:
        self._tracker, self._run, self._study, self._limits = tracker, run, study, config.control
        self._ledger, self._spending, self._live, self._line, self._store = ledger, spending, live, line, store
        self._runs: dict[int, Run] = {}
        self._waiting: set[int] = set()
        self._wanted, self._total = config.trials, config.schedule.iterations
        before = [row["metrics"] for row in ledger.records() if row["state"] in ("finished", "stopped")]
        trained = sum(float(figures.get("iterations", self._total)) for figures in before)
        places = config.resources.concurrent if places is None else places
        self._estimate = Estimate(config.trials, self._total, len(before), trained, places)

    def renew(self, ledger: Ledger) -> None:
        """Count by the study as it is by now."""
        self._ledger = ledger

    def started(self, asked: Asked) -> None:
        point = asked.point
        if asked.had_ended:
            begins = "had ended when the search was interrupted, and is taken over"
        else:
            begins = f"goes on from iteration {asked.reached}" if asked.reached else "starts"
        say(
            f"search  trial {asked.number} {begins}: {point.variant}  lambda1 {point.lambda1:.2g}  "
            f"lambda2 {point.lambda2:.2g}  gamma {point.gamma:.2f}"
        )
        self._runs[asked.number] = self._run_of(asked)
        self._estimate.started(asked.number, self._total if asked.had_ended else asked.reached)
        if self._live:
            self._live.started(asked, self._runs[asked.number].id)

    def _run_of(self, asked: Asked) -> Run:
        point = asked.point
        run = self._tracker.start(
            f"trial-{asked.number:02d}",
            stage=TRIAL_STAGE,
            tags={"variant": point.variant, "number": str(asked.number)},
            parent=self._run.id,
            key=f"{self._study}.{asked.key}",
        )
        run.params(point.to_json())
        return run

    def reached(self, asked: Asked, report: Report) -> None:
        if report.away is not None:
            if asked.number not in self._waiting:
                say(f"search  trial {asked.number} waits: {report.away}")
            self._waiting.add(asked.number)
        elif report.reached is not None:
            self._waiting.discard(asked.number)
            self._estimate.reached(asked.number, report.reached)
            self._draw_curves(asked, report, report.reached)
            say(
                f"search  trial {asked.number}  {report.reached}/{self._total} {report.phase}  "
                f"loss {report.loss or 0.0:.4f}  {self._left(self._ledger.done)}"
            )
            self._show(self.status())

    def _draw_curves(self, asked: Asked, report: Report, reached: int) -> None:
        """What a rung brought, at the iterations at which it was so."""
        run = self._runs[asked.number]
        for point in report.curve:
            shown = {f"train_{name}": value for name, value in point.items() if name != "iteration"}
            run.metrics(shown, int(point["iteration"]))
        if report.score is not None:
            run.metrics({f"rung_{name}": value for name, value in report.score.items()}, reached)

    def ended(self, asked: Asked, record: dict[str, Any], end: End, reason: str | None) -> None:
        run = self._runs.pop(asked.number, None) or self._run_of(asked)
        numbers = {name: float(value) for name, value in record.items() if isinstance(value, int | float)}
        for name in BY_AXIS:
            numbers |= {f"{name}_{axis}": value for axis, value in record.get(name, {}).items()}
        run.metrics(numbers)
        disobeys = disobedience(record, self._limits) if end == "finished" else ""
        picture = self._picture(asked, run) if end == "finished" else ""
        card = trial_card(asked.number, self._study, asked.point.to_json(), record, end, reason or disobeys, picture)
        run.tags({"state": end, "reason": reason or "", NOTE: card})
        run.finish(STATUS[end])
        said = end if reason is None else f"{end.upper() if end == 'failed' else end}: {reason}"
        said += f", infeasible: {disobeys}" if disobeys else ""
        counts = end in ("finished", "stopped")  # the ledger is told after this
        self._estimate.ended(asked.number, float(record.get("iterations", 0.0)), counts=counts)
        done = self._ledger.done + counts
        say(f"search  trial {asked.number} {said}  {figures(record)}  {self._left(done)}")
        if self._live:
            self._live.ended(asked, record, end, reason)
            self._live.figures(self._whole(done, end), step=done)
        self._show(self.status(done))

    def _picture(self, asked: Asked, run: Run) -> str:
        """Record the trial's sheet; its address. A store that is away costs the picture alone."""
        sheet = None
        with suppress(StoreAway):
            sheet = self._store and self._store.file(asked.key, SHEET)
        if not sheet:
            return ""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / SHEET).write_bytes(sheet)
            run.artifact(Path(folder) / SHEET)
        return artifact_address(run.id, SHEET)

    def _show(self, status: str) -> None:
        if self._line:
            self._line.show(f"search  {status}")
        if self._live:
            self._live.show(status, running=True)

    def _whole(self, done: int, end: End) -> dict[str, float]:
        failed, left = self._ledger.failed + (end == "failed"), self._estimate.left_s()
        numbers = {
            "trials_done": float(done),
            "trials_running": float(len(self._runs)),
            "trials_suspended": float(len(self._ledger.under_way) + (end == "suspended")),
            "trials_failed": float(failed),
            "iterations_trained": self._estimate.iterations,
            "usd_spent": self._spending.usd,
        }
        return numbers | ({"seconds_left": left} if left is not None else {})

    def status(self, done: int | None = None) -> str:
        """The search in one line."""
        parts = [
            f"{self._ledger.done if done is None else done} of {count(self._wanted, 'trial')} done",
            f"{len(self._runs)} running",
            f"{self._ledger.failed} failed",
            f"{self._spending.usd:.2f} dollars",
        ]
        if self._estimate.saved >= 0.005:
            parts.append(f"{self._estimate.saved:.0%} of the iterations saved by early stopping")
        left = self._estimate.left_s()
        return ", ".join([*parts, *([f"about {duration(left)} left"] if left else [])])

    def _left(self, done: int) -> str:
        left = self._estimate.left_s()
        text = f"[{done}/{count(self._wanted, 'trial')} done"
        return text + ("]" if left is None else f", about {duration(left)} left]")


def figures(record: Mapping[str, Any]) -> str:
    """What is known of a trial, for the terminal."""
    parts = {
        "psnr_db": "{:.2f} dB",
        "flops_ratio_m1": "FLOPs {:.1%} (M = 1)",
        "flops_ratio_m27": "FLOPs {:.1%} (M = 27)",
        "latency_ratio_m27": "time {:.1%} (M = 27)",
        "shared_layers_pct": "{:.0f} % shared",
    }
    return ", ".join(text.format(record[name]) for name, text in parts.items() if name in record)
