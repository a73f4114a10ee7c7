"""Equations 11 and 12 by hand, and the four variants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tatsnet.method.gates import gate
from tatsnet.method.masked import Gates
from tatsnet.method.objective import Objective, Variant, disagreement, search_loss
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import CostModel

TINY = NetworkConfig(width=4, blocks=1)  # 6 selection points; dense costs 31 (see test_cost)


def gates_of(task_BNC: Tensor, agnostic_NC: Tensor, shared: list[int]) -> Gates:
    shared_N = torch.tensor(shared).bool()
    return Gates(task_BNC, agnostic_NC, shared_N, torch.where(shared_N[:, None], agnostic_NC, task_BNC))


# Two tasks, three points, two channels; the agnostic gates keep channel 0 everywhere.
TASKS = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]])
AGNOSTIC = torch.tensor([[1.0, 0.0]] * 3)
# Disagreements per point: 0 + 1 = 1, 1 + 1 = 2, 2 + 0 = 2 of 4 each.


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ([0, 0, 0], 1 / 4),  # phi_0 = 1: the first point counts before anything is shared
        ([1, 0, 0], 1 / 4 + 2 / 4),
        ([1, 1, 0], 1 / 4 + 2 / 4 + 2 / 4),
        ([1, 1, 1], 1 / 4 + 2 / 4 + 2 / 4),  # the last phi weighs nothing
    ],
)
def test_disagreement_by_hand(shared: list[int], expected: float) -> None:
    """Eq. 12: a point counts when its predecessor is shared; mean over tasks and channels, sum over points."""
    assert float(disagreement(gates_of(TASKS, AGNOSTIC, shared))) == pytest.approx(expected)


def test_the_papers_sum_is_the_mean_times_tasks_and_channels() -> None:
    ours = float(disagreement(gates_of(TASKS, AGNOSTIC, [1, 1, 0])))
    assert ours * 2 * 2 == pytest.approx(float((TASKS - AGNOSTIC).abs().sum()))


def test_disagreement_does_not_change_with_batch_and_width() -> None:
    twice = gates_of(TASKS.repeat(2, 1, 3), AGNOSTIC.repeat(1, 3), [1, 0, 0])
    assert torch.equal(disagreement(twice), disagreement(gates_of(TASKS, AGNOSTIC, [1, 0, 0])))


def test_tasks_that_agree_pay_nothing() -> None:
    assert disagreement(gates_of(AGNOSTIC.expand(5, -1, -1), AGNOSTIC, [1, 1, 1])) == 0


def test_descending_the_disagreement_brings_tasks_together() -> None:
    """Where a task keeps what the others drop, its preference falls and theirs rises."""
    task = torch.tensor([[[1.0]], [[-1.0]]], requires_grad=True)
    agnostic = torch.tensor([[-0.5]], requires_grad=True)
    disagreement(gates_of(gate(task), gate(agnostic), [0])).backward()  # type: ignore[no-untyped-call]
    assert task.grad is not None
    assert agnostic.grad is not None
    assert task.grad.flatten()[0] > 0
    assert agnostic.grad < 0


def objective(variant: Variant = Variant.TA_TS, lambda1: float = 0.5, lambda2: float = 0.25) -> Objective:
    return Objective(variant=variant, lambda1=lambda1, lambda2=lambda2, gamma=0.9)


def tiny_gates(shared: int) -> Gates:
    """One task keeps 4 2 3 1 2 3 channels, the other all; the agnostic part all but one at every point."""
    task = torch.zeros(2, 6, 4)
    for point, kept in enumerate((4, 2, 3, 1, 2, 3)):
        task[0, point, :kept] = 1
    task[1] = 1
    agnostic = torch.ones(6, 4)
    agnostic[:, 3] = 0
    return gates_of(task, agnostic, [int(point < shared) for point in range(6)])


@pytest.mark.parametrize("variant", list(Variant))
def test_the_objective_by_hand(variant: Variant) -> None:
    """Eq. 11: L1 + lambda1 R1 + lambda2 R2, with nothing shared yet; R2 only where sharing is searched."""
    restored, target = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.25, 1.0]])
    loss = search_loss(objective(variant), restored, target, tiny_gates(0), CostModel(TINY), 27)
    l1 = (0.25 + 1.0) / 2
    r1 = (19.25 + 31) / 2 / 31
    r2 = (1 + 1) / 8 if variant.shares else 0.0  # the head: both tasks keep channel 3, the agnostic part does not
    assert [float(term) for term in loss[1:]] == pytest.approx([l1, r1, r2], rel=1e-5)
    assert float(loss.total) == pytest.approx(l1 + 0.5 * r1 + 0.25 * r2, rel=1e-5)


@pytest.mark.parametrize("effects", [1, 27])
def test_the_shared_part_is_paid_once_for_all_effects(effects: int) -> None:
    """Three shared points keep 3 channels: head 3 x 3 / 4, conv1 3 x 3 / 4. The rest is each task's own."""
    zero = torch.zeros(1)
    loss = search_loss(objective(), zero, zero, tiny_gates(3), CostModel(TINY), effects)
    once = 9 / 4 + 9 / 4
    each = ((3 * 1 / 4 + 2 + 3 + 9) + (3 * 4 / 4 + 4 + 4 + 12)) / 2
    assert float(loss.r1) == pytest.approx((once / effects + each) / 31, rel=1e-5)


def test_weights_of_zero_leave_l1_alone() -> None:
    restored = torch.full((2, 3), 0.5)
    loss = search_loss(objective(lambda1=0, lambda2=0), restored, torch.zeros(2, 3), tiny_gates(0), CostModel(TINY), 1)
    assert loss.total == loss.l1 == 0.5


def test_a_weight_beyond_float32_gives_no_finite_loss() -> None:
    """A training with it has diverged, and says so; it does not end in an error of a tensor."""
    zero = torch.zeros(1)
    loss = search_loss(objective(lambda1=1e39), zero, zero, tiny_gates(0), CostModel(TINY), 1)
    assert not torch.isfinite(loss.total)


@pytest.mark.parametrize(
    ("variant", "name", "shares", "relative"),
    [
        (Variant.TS, "TSNet", False, False),
        (Variant.TA_TS, "TA+TSNet", True, False),
        (Variant.TS_M, "TSNet-m", False, True),
        (Variant.TA_TS_M, "TA+TSNet-m", True, True),
    ],
)
def test_the_four_variants(variant: Variant, name: str, shares: bool, relative: bool) -> None:
    assert (variant.value, variant.shares, variant.relative) == (name, shares, relative)
    assert Variant(name) is variant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lambda1", -1e-9),
        ("lambda1", math.nan),
        ("lambda1", math.inf),
        ("lambda2", -1.0),
        ("lambda2", math.nan),
        ("gamma", 0.0),
        ("gamma", 1.0),
        ("gamma", math.nan),
    ],
)
def test_a_weight_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Objective(**({"variant": Variant.TS, "lambda1": 0.1, "lambda2": 0.1, "gamma": 0.9} | {name: value}))  # type: ignore[arg-type]
