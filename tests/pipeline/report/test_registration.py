"""An alias stays with a network that is better in everything, and only then."""

from __future__ import annotations

import pytest

from pipeline.report.registration import worse

OLD = {"psnr_db": "25.00", "flops_ratio_m27": "0.10", "dataset_sha256": "a"}


@pytest.mark.parametrize(
    ("new", "stays"),
    [
        ({"psnr_db": "24.90"}, True),
        ({"psnr_db": "24.90", "flops_ratio_m27": "0.20"}, True),
        ({"psnr_db": "24.96"}, False),  # within the tolerance
        ({"psnr_db": "24.90", "flops_ratio_m27": "0.09"}, False),  # a trade-off
        ({"psnr_db": "25.10", "flops_ratio_m27": "0.50"}, False),
        ({"psnr_db": "20.00", "dataset_sha256": "b"}, False),  # no comparison
    ],
)
def test_it_stays_where_the_new_one_restores_worse_and_costs_no_less(new: dict[str, str], stays: bool) -> None:
    assert bool(worse(OLD | new, OLD)) is stays


@pytest.mark.parametrize("old", [{}, {"dataset_sha256": "a"}, {"dataset_sha256": "a", "psnr_db": "good"}])
def test_a_version_without_figures_gives_way(old: dict[str, str]) -> None:
    assert worse(OLD, old) is None
