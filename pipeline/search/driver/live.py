"""A search in MLflow while it runs: figures of the whole, which trials are on the front, and the interactive page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.common.files import atomic_write_text
from pipeline.config import ControlLimits
from pipeline.report.front import Front, Search, front_page
from pipeline.search.driver.observer import Asked, End
from pipeline.search.study.front_view import candidate_of, earlier_search, search_of
from pipeline.search.study.pareto import COSTS, Candidate, hypervolume, pareto_set
from pipeline.tracking import FRONT_PAGE, Found, Run, Tracker, front_marks, mark_pareto, pareto_view, show_front
from pipeline.tracking.keys import PARETO, STAGE, TRIAL_STAGE

EVERY_S = 30.0
"""Least seconds between two pages: one has 5 MB."""

EARLIER = 5
"""So many other searches are drawn below, the newest."""

_PARENT = "mlflow.parentRunId"


class LiveSearch:
    """What is known of a search, and shown.

    Args:
        study: its key.
        objectives: the costs that it minimises.
        dense: the dense network's figures: `psnr_db`, `input_psnr_db`.
        limits: what a trial must do to be feasible.
        folder: where the page is kept.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        tracker: Tracker,
        run: Run,
        study: str,
        objectives: list[str],
        dense: Mapping[str, Any],
        limits: ControlLimits,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker, self._run, self._study, self._objectives = tracker, run, study, objectives
        self._dense, self._page, self._clock = dense, folder / FRONT_PAGE, clock
        self._limits = limits
        self._rows: dict[int, dict[str, Any]] = {}
        self._runs: dict[int, str] = {}
        self._front: list[Candidate] = []
        self._drawn: float | None = None
        self._earlier: list[Search] = []

    def begin(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take up what an earlier process left, make MLflow's own view, and draw the first page."""
        self._run.tags({"study": self._study})
        known = [run for run in self._tracker.find({STAGE: TRIAL_STAGE, _PARENT: self._run.id}) if "number" in run.tags]
        self._runs |= {int(run.tags["number"]): run.id for run in known}
        for row in records:
            self._rows[row["number"]] = dict(row)
        usable = [candidate_of(row, self._objectives, self._limits) for row in self._rows.values()]
        self._front = pareto_set([candidate for candidate in usable if candidate])
        front = {candidate.number for candidate in self._front}
        mark_pareto(self._tracker, known, {self._runs[number] for number in front if number in self._runs})
        pareto_view(self._tracker, self._run.id, [COSTS[cost] for cost in self._objectives])
        self._earlier = other_fronts(self._tracker, self._run.id)
        self.show("begins", running=True, at_once=True)

    def started(self, asked: Asked, run_id: str) -> None:
        """A trial runs."""
        self._runs[asked.number] = run_id
        point = asked.point.to_json()
        self._rows[asked.number] = {"number": asked.number, "state": "running", "reason": None, **point, "metrics": {}}

    def ended(self, asked: Asked, record: Mapping[str, Any], end: End, reason: str | None) -> None:
        """A trial ended; the runs of those that the front gained or lost are marked."""
        row = self._rows[asked.number] = {
            "number": asked.number,
            "state": end,
            "reason": reason,
            **asked.point.to_json(),
            "metrics": dict(record),
        }
        candidate = candidate_of(row, self._objectives, self._limits)
        if candidate is None:
            return
        before = {one.number for one in self._front}
        self._front = pareto_set([*self._front, candidate])
        now = {one.number for one in self._front}
        for number in (before ^ now) | {asked.number}:
            if run_id := self._runs.get(number):
                name, metrics = f"trial-{number:02d}", self._rows[number]["metrics"]
                self._tracker.run(run_id).tags(front_marks(name, metrics, number in now))

    @property
    def hypervolume(self) -> float:
        """Of the front so far; see `select`."""
        return hypervolume(self._front, self._dense["input_psnr_db"])

    def figures(self, numbers: Mapping[str, float], step: int) -> None:
        """Figures of the whole search at so many trials that count."""
        self._run.metrics({**numbers, "hypervolume": self.hypervolume, "front": float(len(self._front))}, step)

    def show(self, status: str, *, running: bool, at_once: bool = False) -> None:
        """Draw the page anew, unless that was done a moment ago."""
        if not at_once and self._drawn is not None and self._clock() - self._drawn < EVERY_S:
            return
        search = search_of(
            sorted(self._rows.values(), key=lambda row: row["number"]),
            [candidate.number for candidate in self._front],
            study=self._study,
            run_id=self._run.id,
            limits=self._limits,
            cost=COSTS[self._objectives[0]],
            runs={number: self._tracker.run(run_id).id for number, run_id in self._runs.items()},
        )
        front = front_of(self._tracker, search, self._objectives, self._dense, status, running, self._earlier)
        keep_page(self._tracker, self._run, front, self._page)
        self._drawn = self._clock()


def other_fronts(tracker: Tracker, run_id: str) -> list[Search]:
    """The fronts of the newest other searches of the experiment, as their runs say them."""
    by_parent: dict[str, list[Found]] = {}
    for found in tracker.find({STAGE: TRIAL_STAGE, PARETO: "true"}):
        parent = found.tags.get(_PARENT, "")
        if parent != run_id:
            by_parent.setdefault(parent, []).append(found)
    names = {run.id: run.tags.get("study", run.id) for run in tracker.find({STAGE: "search"})}
    newest = [parent for parent in names if parent in by_parent][:EARLIER]
    return [earlier_search(names[parent], parent, by_parent[parent]) for parent in newest]


def front_of(
    tracker: Tracker,
    search: Search,
    objectives: Sequence[str],
    dense: Mapping[str, Any],
    status: str,
    running: bool,
    earlier: Sequence[Search],
) -> Front:
    """What a search's page shows."""
    return Front(
        experiment_id=tracker.experiment_id,
        server=tracker.uri if tracker.uri.startswith(("http://", "https://")) else "",
        search=search,
        cost=COSTS[objectives[0]],
        dense_psnr_db=dense["psnr_db"],
        status=status,
        running=running,
        earlier=earlier,
    )


def keep_page(tracker: Tracker, run: Run, front: Front, page: Path) -> None:
    """Write a search's page and keep it with its run."""
    page.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(page, front_page(front))
    show_front(tracker, run, page, front.status)
