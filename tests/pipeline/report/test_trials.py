from __future__ import annotations

import pytest

from pipeline.report import search_cost, trial_counts, trial_points
from tests.pipeline.stages.project import trial_row


def test_trial_points_are_the_finished_trials_with_front_and_picks() -> None:
    rows = [trial_row(0, 24.0, 0.02), trial_row(1, 26.0, 0.1), trial_row(2, 28.0, 0.01, state="failed")]
    picks = [{"name": "knee", "trial": 0}, {"name": "best", "trial": 1}, {"name": "budget", "trial": 0}]
    points = trial_points(rows, {"pareto": [0], "picks": picks})
    assert [(point.number, point.pareto, point.pick) for point in points] == [
        (0, True, "knee, budget"),
        (1, False, "best"),
    ]
    assert (points[1].psnr_db, points[1].flops_ratio_m27, points[1].flops_ratio_m1) == (26.0, 0.1, 0.2)


def test_counts_and_cost_are_of_all_that_ended() -> None:
    states = ["finished", "stopped", "finished", "failed"]
    rows = [trial_row(number, 25.0, 0.1, state=state) for number, state in enumerate(states)]
    for row in rows[:3]:
        row["metrics"] |= {"cpu_seconds": 1800.0, "gpu_seconds": 900.0, "usd": 0.5}
    rows[3]["metrics"] = {}
    counts, cost = trial_counts(rows), search_cost(rows, [{"usd": 0.25}, {}])
    assert (counts.finished, counts.stopped, counts.failed) == (2, 1, 1)
    assert (cost.cpu_hours, cost.gpu_hours, cost.usd) == (1.5, 0.75, pytest.approx(1.5))
    assert cost.under_way_usd == 0.25
