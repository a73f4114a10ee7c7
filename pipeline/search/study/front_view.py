"""The trials of a study as the interactive page shows them, out of rows like those of `search/trials.json`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.report.front import AXES, Other, Point, Search, State
from pipeline.search.study.pareto import COSTS, Candidate
from pipeline.tracking import Found
from tatsnet.quality.evaluation import DEAD_RANGE

TUNED = ("lambda1", "lambda2", "gamma")


def weakest_slider(figures: Mapping[str, Any], dense: Mapping[str, float]) -> float:
    """How far the output follows a network's weakest slider, as a share of the dense network's; NaN where unknown.

    Args:
        figures: a trial's `metrics`.
        dense: the range of the dense network's answer to each slider.
    """
    answers = figures.get("response", {})
    return min((answers[axis]["range"] / max(dense[axis], DEAD_RANGE) for axis in answers), default=math.nan)


def candidate_of(row: Mapping[str, Any], objectives: Iterable[str], dense: Mapping[str, float]) -> Candidate | None:
    """A trial that may stand on the front; None for one that failed, was stopped or still runs."""
    figures = row["metrics"]
    if row["state"] != "finished":
        return None
    return Candidate(
        number=row["number"],
        psnr_db=figures["psnr_db"],
        costs=tuple(figures[COSTS[cost]] for cost in objectives),
        response=weakest_slider(figures, dense),
    )


def search_of(
    rows: Iterable[Mapping[str, Any]],
    front: Iterable[int],
    *,
    study: str,
    run_id: str,
    dense: Mapping[str, float],
    cost: str,
    runs: Mapping[int, str],
    picks: Mapping[int, str] | None = None,
) -> Search:
    """A search for the page.

    Args:
        rows: its trials.
        front: numbers of those on the front.
        dense: the range of the dense network's answer to each slider.
        cost: the figure that the search minimises; a trial without it is listed below the chart.
        runs: each trial's run in MLflow.
        picks: the rules that picked a trial.
    """
    on_front, points, others = set(front), [], []
    for row in rows:
        number, figures = row["number"], row["metrics"]
        run = runs.get(number, "")
        if row["state"] in ("finished", "failed") and {"psnr_db", cost} <= set(figures):
            state: State = "finished" if row["state"] == "finished" else "infeasible"
            weakest = weakest_slider(figures, dense)
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
                    reason=row.get("reason") or "",
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
