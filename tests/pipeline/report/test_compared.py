from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipeline.report.compared import front, scores
from pipeline.report.plain import to_plain
from tests.pipeline.report.factory import metrics


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    else:
        yield value


def test_the_scores_are_the_figures_of_the_report() -> None:
    whole, few = metrics(), scores(metrics())
    assert few["dense_psnr_db"] == whole.dense_psnr_db
    assert list(few["picks"]) == [pick.name for pick in whole.picks]
    for pick in whole.picks:
        assert few["picks"][pick.name]["psnr_db"] == pick.psnr_db
        assert few["picks"][pick.name]["flops_ratio_m27"] == pick.flops_ratio_m27


def test_dvc_reads_nothing_but_numbers() -> None:
    odd = replace(metrics(), hypervolume=math.nan)
    assert to_plain(scores(odd))["hypervolume"] is None
    values = list(leaves(to_plain(scores(metrics()))))
    assert values
    assert all(isinstance(value, int | float) for value in values)


def test_the_front_has_every_trial_and_the_dense_network() -> None:
    whole = metrics()
    *rows, dense = front(whole)
    assert [(row["trial"], row["psnr_db"], row["variant"], row["pareto"]) for row in rows] == [
        (trial.number, trial.psnr_db, trial.variant, trial.pareto) for trial in whole.front
    ]
    assert [row["flops_pct_m27"] for row in rows] == [round(100 * t.flops_ratio_m27, 3) for t in whole.front]
    assert (dense["variant"], dense["flops_pct_m27"], set(dense)) == ("dense", 100, set(rows[0]))


def test_a_dense_network_that_was_not_scored_is_left_out() -> None:
    assert len(front(replace(metrics(), dense_valid_psnr_db=None))) == len(metrics().front)
