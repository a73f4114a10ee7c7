"""The report of the benchmark: metrics.json, Markdown tables, plots, a contact sheet and one self-contained page."""

from pipeline.report.pictures import Modulation, Pictures
from pipeline.report.schema import (
    LatencyCell,
    Machine,
    Metrics,
    NetworkFigures,
    Profile,
    SearchCost,
    TaskCost,
    TrialCounts,
    TrialPoint,
)
from pipeline.report.trials import search_cost, trial_counts, trial_points
from pipeline.report.writing import write_report

__all__ = [
    "LatencyCell",
    "Machine",
    "Metrics",
    "Modulation",
    "NetworkFigures",
    "Pictures",
    "Profile",
    "SearchCost",
    "TaskCost",
    "TrialCounts",
    "TrialPoint",
    "search_cost",
    "trial_counts",
    "trial_points",
    "write_report",
]
