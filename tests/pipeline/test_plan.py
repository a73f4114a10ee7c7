from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster.store import KEPT
from pipeline.commands.plan import CHECKPOINTS_KEPT, Plan, StagePlan, make_plan, weights
from pipeline.commands.plan_table import render
from pipeline.config import Params, load
from pipeline.search.study.pareto import Candidate
from pipeline.stages.select import choose
from tatsnet.network.architecture import NetworkConfig

PROFILES = Path(__file__).resolve().parents[2] / "profiles"
PAPER = load(PROFILES / "paper.yaml")
QUICK = load(PROFILES / "quick.yaml")


def stage(params: Params, name: str) -> StagePlan:
    return next(row for row in make_plan(params, Path("x.yaml")).stages if row.stage == name)


def change(value: Any, place: str, new: Any) -> Any:
    head, _, rest = place.partition(".")
    return dataclasses.replace(value, **{head: change(getattr(value, head), rest, new) if rest else new})


def paper_forward_flops(height: int, width: int) -> float:
    """Section 7.3's network (64 channels, 32 blocks) counted by hand: two FLOPs per multiply-add of 3x3 kernels."""
    half, full = height * width / 4, height * width
    return 18.0 * (3 * 64 * half + 64 * 64 * half * 65 + 16 * 64 * full + 64 * 3 * full)


def test_an_iteration_is_three_forward_passes_of_its_batch() -> None:
    expected = 1_000_000 * 64 * 3 * paper_forward_flops(64, 64)
    assert stage(PAPER, "pretrain").training_flops == pytest.approx(expected, rel=1e-12)


def test_the_paper_s_trainings_are_in_the_plan() -> None:
    rows = {row.stage: (row.runs, row.iterations) for row in make_plan(PAPER, Path("x")).stages if row.runs}
    trials, tuned = PAPER.search.trials, PAPER.finetune.iterations
    picks = len(PAPER.select.picks) + len(PAPER.select.budgets)
    assert rows == {
        "pretrain": (1, 1_000_000),
        "search": (trials, trials * 1_000_000),
        "finetune": (picks + 1, picks * tuned + 1_000_000 + tuned),
    }


def test_the_paper_s_evaluation_counts_every_photo_and_effect() -> None:
    """Of each network 68 photos x 26 inputs x 27 effects, which is 47,736 inferences."""
    networks = len(PAPER.select.picks) + len(PAPER.select.budgets) + 1
    half = stage(change(PAPER, "benchmark.best_of_27_crops", 34), "benchmark").evaluation_flops
    all_of_them = stage(PAPER, "benchmark").evaluation_flops
    expected = networks * 47_736 * paper_forward_flops(322, 482)
    assert 2 * (all_of_them - half) == pytest.approx(expected, rel=1e-9)


def test_every_rule_and_every_budget_may_pick_a_network_of_its_own() -> None:
    """Each is finetuned, extracted and measured, beside the dense one."""
    usable = [Candidate(number=n, psnr_db=20.0 + n, costs=(0.02 + 0.04 * n,)) for n in range(6)]
    config = dataclasses.replace(PAPER.select, picks=("knee", "best"), budgets=(0.15, 0.1, 0.05))
    assert len(choose(config, usable)) == 5
    many, few = change(PAPER, "select", config), change(PAPER, "select.budgets", ())
    assert stage(many, "finetune").runs == stage(few, "finetune").runs + 3 == 6
    assert stage(many, "extract").disk_bytes * 2 == stage(few, "extract").disk_bytes * 5
    ratio = stage(many, "benchmark").evaluation_flops / stage(few, "benchmark").evaluation_flops
    assert ratio == pytest.approx(6 / 3)


def test_the_store_holds_the_last_checkpoints_of_running_trials_and_the_networks_of_all() -> None:
    assert CHECKPOINTS_KEPT == KEPT
    disk = {
        (trials, concurrent): stage(
            change(change(QUICK, "search.trials", trials), "search.resources.concurrent", concurrent), "search"
        ).disk_bytes
        for trials, concurrent in ((1, 1), (2, 1), (2, 2), (2, 8))
    }
    one_more, one_more_running = disk[2, 1] - disk[1, 1], disk[2, 2] - disk[2, 1]
    assert one_more_running == 3 * one_more, "two checkpoints of three times the network; two copies of the network"
    assert disk[2, 8] == disk[2, 2], "no more run than there are"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("pretrain.iterations", "pretrain"),
        ("search.trials", "search"),
        ("search.schedule.iterations", "search"),
        ("train.batch", "search"),
        ("train.batch", "pretrain"),
        ("train.batch", "finetune"),
    ],
)
def test_twice_as_much_training_costs_twice_as_much(place: str, name: str) -> None:
    value: Any = QUICK
    for part in place.split("."):
        value = getattr(value, part)
    twice = stage(change(QUICK, place, 2 * value), name).training_flops
    assert twice == pytest.approx(2 * stage(QUICK, name).training_flops)


def test_the_total_is_the_sum_and_hours_follow_the_rate() -> None:
    plan = make_plan(PAPER, Path("x"))
    faster = make_plan(change(PAPER, "cost.gpu_tflops", 2 * PAPER.cost.gpu_tflops), Path("x"))
    assert plan.total.flops == pytest.approx(sum(row.flops for row in plan.stages))
    assert plan.total.disk_bytes == sum(row.disk_bytes for row in plan.stages)
    assert plan.gpu_hours(plan.total) == pytest.approx(plan.total.flops / 20e12 / 3600)
    assert faster.gpu_hours(faster.total) == pytest.approx(plan.gpu_hours(plan.total) / 2)
    total = plan.to_json()["total"]
    assert total["usd"] == pytest.approx(total["gpu_hours"] * 1.2)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (NetworkConfig(width=4, blocks=1), 9 * (3 * 4 + 3 * 16 + 1 * 4 + 4 * 3) + 4 * 5 + 3),
        (NetworkConfig(), 9 * (3 * 64 + 65 * 64 * 64 + 16 * 64 + 64 * 3) + 67 * 64 + 3),
    ],
)
def test_weights_are_counted_by_hand(network: NetworkConfig, count: int) -> None:
    assert weights(network) == count


def test_photos_of_one_s_own_are_not_counted() -> None:
    data = dataclasses.replace(QUICK.data, source="folder", folder="photos")
    plan = make_plan(dataclasses.replace(QUICK, data=data), Path("x"))
    assert plan.download_bytes is None
    assert next(row for row in plan.stages if row.stage == "download").disk_bytes == 0
    assert "your own" in render(plan)


def test_div2k_must_be_downloaded_in_full() -> None:
    plan = make_plan(PAPER, Path("x"))
    assert plan.download_bytes is not None
    assert plan.download_bytes > 3_530_603_713 + 448_993_893


def table_of(plan: Plan) -> dict[str, list[str]]:
    rows = [line.split() for line in render(plan).splitlines()]
    return {row[0]: row for row in rows if row}


@pytest.mark.parametrize("params", [PAPER, QUICK], ids=["paper", "quick"])
def test_the_table_names_every_stage_and_lines_up(params: Params) -> None:
    plan = make_plan(params, Path("some.yaml"))
    assert {row.stage for row in plan.stages} | {"total"} <= set(table_of(plan))
    lines = render(plan).splitlines()[2:-2]
    assert len({len(line) for line in lines}) == 1
