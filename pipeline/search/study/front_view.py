"""The trials of a study as the interactive page shows them, out of rows like those of `search/trials.json`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.config import ControlLimits
from pipeline.report.front import AXES, Other, Point, Search, State
from pipeline.search.study.pareto import COSTS, Candidate, disobedience, violations
from pipeline.tracking import Found

TUNED = ("lambda1", "lambda2", "gamma")


def candidate_of(row: Mapping[str, Any], objectives: Iterable[str], limits: ControlLimits) -> Candidate | None:
    """A finished trial, which may stand on the front; None for one that failed, was stopped or still runs."""
    figures = row["metrics"]
    if row["state"] != "finished":
        return None
    return Candidate(
        number=row["number"],
        psnr_db=figures["psnr_db"],
        costs=tuple(figures[COSTS[cost]] for cost in objectives),
        violations=violations(figures, limits),
    )


def search_of(
    rows: Iterable[Mapping[str, Any]],
    front: Iterable[int],
    *,
    study: str,
    run_id: str,
    limits: ControlLimits,
    cost: str,
    runs: Mapping[int, str],
    picks: Mapping[int, str] | None = None,
) -> Search:
    """A search for the page.

    Args:
        rows: its trials.
        front: numbers of those on the front.
        limits: of the search: a trial that violates them is shown as infeasible, with the reason.
        cost: the figure that the search minimises; a trial without it is listed below the chart.
        runs: each trial's run in MLflow.
        picks: the rules that picked a trial.
    """
    on_front, points, others = set(front), [], []
    for row in rows:
        number, figures = row["number"], row["metrics"]
        run = runs.get(number, "")
        if row["state"] in ("finished", "failed") and {"psnr_db", cost} <= set(figures):
            disobeys = disobedience(figures, limits)
            state: State = "finished" if row["state"] == "finished" and not disobeys else "infeasible"
            weakest = figures.get("weakest_slider", math.nan)
            points.append(
                Point(
                    number=number,
                    state="front" if number in on_front else state,
                    variant=row["variant"],
                    psnr_db=figures["psnr_db"],
                    figures={name: figures[name] for name in AXES if name in figures},
                    weakest=weakest if math.isfinite(weakest) else 0.0,
                    shared_pct=figures.get("shared_layers_pct", 0.0),
                    point={name: row[name] for name in TUNED},
                    pick=(picks or {}).get(number, ""),
                    run_id=run,
                    reason=row.get("reason") or disobeys,
                )
            )
        else:
            reason = row.get("reason") or ""
            others.append(Other(number=number, state=row["state"], variant=row["variant"], reason=reason, run_id=run))
    return Search(study=study, run_id=run_id, label=f"study {study[:8]}", points=points, others=others)


def earlier_search(label: str, run_id: str, trials: Iterable[Found]) -> Search:
    """Another search's front, as its runs in MLflow say it: those that are tagged as being on it."""
    points = []
    for found in trials:
        figures = {name: found.metrics[name] for name in AXES if name in found.metrics}
        if "psnr_db" in found.metrics and figures:
            points.append(
                Point(
                    number=int(found.tags.get("number", 0)),
                    state="front",
                    variant=found.tags.get("variant", ""),
                    psnr_db=found.metrics["psnr_db"],
                    figures=figures,
                    weakest=found.metrics.get("weakest_slider", math.nan),
                    shared_pct=found.metrics.get("shared_layers_pct", 0.0),
                    point={name: float(found.params[name]) for name in TUNED if name in found.params},
                    run_id=found.id,
                )
            )
    return Search(study=label, run_id=run_id, label=f"study {label[:8]}", points=points)
