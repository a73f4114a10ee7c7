from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import replace

import pytest

from pipeline.report.tables import (
    Table,
    control_table,
    cost_table,
    degradations_table,
    milliseconds,
    percent,
    quality_table,
    tables,
    trials_table,
)
from tests.pipeline.report.factory import metrics, network, trials

CELLS = re.compile(r"(?<!\\)\|")


def column(table: Table, name: str) -> list[str]:
    return [row[table.header.index(name)] for row in table.rows]


@pytest.mark.parametrize("table", tables(metrics()), ids=lambda table: table.key)
def test_every_row_has_the_columns_of_its_header(table: Table) -> None:
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.header)}
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert len(lines) == len(table.rows) + 2
    assert {len(CELLS.split(line)) for line in lines} == {len(table.header) + 2}


def test_cost_has_a_row_per_size_and_threads_with_the_ratio_to_dense() -> None:
    table = cost_table(metrics())
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.header == (
        "Cost per effect",
        "dense",
        "knee (TA+TSNet)",
        "best (TSNet)",
        "budget (TA+TSNet)",
        "the paper's TA+TSNet",
    )
    assert sum(name.startswith("Latency") for name in rows) == 4
    assert rows["Latency at 1280x720, 2 threads, openvino"][:2] == ("1,415 ms ± 3 % (1.0x)", "147 ms ± 3 % (9.6x)")
    assert rows["FLOPs at 1280x720, M = 27"][0] == "27.3 G (100 %)"


def test_a_latency_cell_that_one_network_lacks_is_said() -> None:
    pick = dataclasses.replace(network(), latency=network().latency[:1])
    rows = cost_table(metrics(picks=(pick,))).rows
    assert sum(row[2] == "not measured" for row in rows) == 3


def test_quality_says_which_scoring_and_what_is_not_measured() -> None:
    table = quality_table(metrics())
    assert "26 degradations of each of 6 test photos" in table.caption
    assert "mean over 52 inputs" in table.caption
    assert column(table, "PSNR oracle (dB)")[:5] == ["23.40", "27.59", "26.84", "27.11", "26.51"]
    assert column(table, "LPIPS")[:5] == ["–", *["not measured"] * 4]


def test_quality_without_the_best_of_27() -> None:
    left_out = {"psnr_best27_db": None, "ssim_best27": None, "best27_images": 0}
    value = metrics()
    value = dataclasses.replace(
        value,
        dense=dataclasses.replace(value.dense, **left_out),
        picks=tuple(dataclasses.replace(pick, **left_out) for pick in value.picks),
    )
    table = quality_table(value)
    assert "Best of 27: not measured." in table.caption
    assert column(table, "PSNR best of 27 (dB)")[1:5] == ["not measured"] * 4


def test_control_beside_dense_and_what_all_sliders_at_zero_change() -> None:
    table = control_table(metrics(picks=(dataclasses.replace(network(), off_rms=0.25),)))
    assert column(table, "denoise gain (dB)") == ["4.20", "4.20"]
    assert column(table, "off") == ["0.00", "0.25"]


def test_the_papers_rows_stand_below_ours_with_their_conditions() -> None:
    for table in (quality_table(metrics()), trials_table(metrics())):
        assert table.quoted
        quoted = [row[0].startswith("the paper") for row in table.rows]
        assert quoted == [False] * (len(quoted) - table.quoted) + [True] * table.quoted
        assert "68 whole photos" in table.caption


def test_every_degradation_has_a_row_with_the_input_beside_the_networks() -> None:
    value = metrics()
    table = degradations_table(value)
    assert len(table.rows) == 27
    assert [row[1] for row in table.rows[1:]] == [f"{psnr:.2f}" for psnr in value.input_by_degradation_db]
    assert [row[2] for row in table.rows[1:]] == [f"{psnr:.2f}" for psnr in value.dense.psnr_by_degradation_db]
    assert table.rows[0][:2] == ("none", "clean")
    assert table.rows[-1][0] == "blur4 noise50 q10"


def test_the_best_of_27_stands_beside_its_own_inputs() -> None:
    value = metrics()
    table = quality_table(value)
    assert column(table, "PSNR best of 27 (dB)")[0] == f"{value.input_best27_psnr_db:.2f}"


def test_trials_rise_in_cost_and_the_front_is_marked() -> None:
    table = trials_table(metrics())
    costs = [float(cell.removesuffix(" %")) for cell in column(table, "FLOPs M = 27")[: -table.quoted]]
    assert costs == sorted(costs)
    assert len(costs) == 10
    marked = [row for row, cell in enumerate(column(table, "Pareto")) if cell == "yes"]
    assert frozenset(marked) == table.marked
    assert len(marked) == 6
    assert [cell for cell in column(table, "Pick") if cell] == ["budget", "knee", "best"]
    bold = [line for line in table.markdown().splitlines() if line.startswith("| **")]
    assert len(bold) == 6


def test_a_search_that_minimised_time_shows_it() -> None:
    front = [replace(trial, latency_ratio_m27=2 * trial.flops_ratio_m27) for trial in trials()[1:]] + [trials()[0]]
    table = trials_table(metrics(front=tuple(front)))
    shown = dict(zip(column(table, "Trial"), column(table, "Time M = 27"), strict=True))
    assert shown["1"] == "6.2 %"
    assert shown["0"] == "–"
    assert "what the search minimised" in table.caption
    assert "Time M = 27" not in trials_table(metrics()).header


def test_a_hostile_name_stays_text_in_markdown() -> None:
    pick = network(name="<script>alert(1)</script>|*x*\n# y", variant="[a](b)")
    text = cost_table(metrics(picks=(pick,))).markdown()
    assert r"\<script\>alert(1)\</script\>\|\*x\* # y (\[a\](b))" in text
    assert "<script>" not in text


@pytest.mark.parametrize(
    ("share", "shown"),
    [(1.0, "100 %"), (0.26, "26.0 %"), (0.034, "3.4 %"), (0.0021, "0.21 %"), (0.0, "0 %"), (math.nan, "– %")],
)
def test_percent(share: float, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(("value", "shown"), [(2480.4, "2,480"), (99.96, "100"), (42.91, "42.9"), (0.4123, "0.412")])
def test_milliseconds(value: float, shown: str) -> None:
    assert milliseconds(value) == shown
