"""A report survives Ray Tune: it comes back as it went, beside what Tune adds."""

from __future__ import annotations

import pytest

from pipeline.cluster.report import Report

REPORTS = {
    "nothing": Report(),
    "a rung": Report(
        reached=30, phase="open", loss=0.0, curve=({"iteration": 30, "loss": 0.5},), rung=3, spent={"cpu_seconds": 2.5},
        score={"psnr_db": 24.0}, kept=True,
    ),
    "several rungs": Report(rung=0, spent={}, kept=True),
    "an end": Report(record={"psnr_db": 24.0, "usd": None}, done=True),
    "a failure": Report(failed="diverged: the loss became nan", spent={"cpu_seconds": 1.0}, done=True),
    "a store that is away": Report(away="cannot use the store"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_comes_back_as_it_went(name: str) -> None:
    result = REPORTS[name].to_result()
    assert all(isinstance(value, str | int | float) for value in result.values()), "Tune flattens all else"
    tunes_own = {"done": REPORTS[name].done, "trial_id": "a", "time_total_s": 1.0, "config": {}}
    assert Report.from_result({**result, **tunes_own}) == REPORTS[name]


def test_a_record_is_finite() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Report(record={"psnr_db": float("nan")}).to_result()
