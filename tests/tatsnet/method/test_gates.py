"""Equations 5 to 10, computed by hand on small numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tatsnet.method.gates import SLOW, Consensus, Controller, gate, open_channels, own_gates, prefix, section, tie
from tatsnet.method.settings import GateRule
from tatsnet.network.architecture import NetworkConfig

NETWORK = NetworkConfig(width=4, blocks=1)  # 6 selection points


def consensus(gamma: float = 0.75, ema: float = 0.25) -> Consensus:
    return Consensus(NETWORK, gamma, ema)


def at_point(*rows: list[float]) -> Tensor:
    """Preferences of a batch that says `rows` (one per task) at every selection point; B x N x C."""
    return torch.tensor(rows)[:, None].expand(-1, NETWORK.points, -1).clone()


@pytest.mark.parametrize(
    ("preference", "least", "expected"),
    [
        ([2.0, 1e-6, 0.0, -1e-6], 0, [1, 1, 0, 0]),
        ([-3.0, -1.0, -2.0, -4.0], 0, [0, 0, 0, 0]),
        ([-3.0, -1.0, -2.0, -4.0], 2, [0, 1, 1, 0]),
        ([3.0, 1.0, 2.0, -4.0], 2, [1, 1, 1, 0]),
        ([3.0, -1.0, -2.0, -4.0], 2, [1, 1, 0, 0]),
        ([-1.0, -2.0, -2.0, -2.0], 2, [1, 1, 1, 1]),
        ([0.0, 0.0, 0.0, 0.0], 1, [1, 1, 1, 1]),
        ([-1.0, -2.0, -3.0, -4.0], 99, [1, 1, 1, 1]),
    ],
)
def test_gate_forward(preference: list[float], least: int, expected: list[int]) -> None:
    """Eq. 5: the indicator of z > 0; at least `least` channels stay, and what ties with the last of them."""
    assert gate(torch.tensor(preference), least).tolist() == expected


def test_gate_counts_each_selection_point_alone() -> None:
    preference = torch.tensor([[[1.0, -1.0], [-1.0, -2.0]], [[-2.0, -1.0], [1.0, 1.0]]])
    assert gate(preference, 1).tolist() == [[[1, 0], [1, 0]], [[0, 1], [1, 1]]]


@pytest.mark.parametrize("least", [1, 3, 5])
def test_points_with_and_without_too_few_channels_side_by_side(least: int) -> None:
    preference = torch.randn(40, 3, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    lowest = preference.sort(dim=-1).values[..., -least, None]
    few = (preference > 0).sum(-1) < least
    assert few.any()
    assert not few.all()
    assert torch.equal(gate(preference, least), ((preference > 0) | (preference >= lowest)).float())


@pytest.mark.parametrize("least", [0, 2])
def test_gate_backward_is_the_derivative_of_the_sigmoid(least: int) -> None:
    preference = torch.tensor([0.0, 2.0, -1.0, -30.0], requires_grad=True)
    incoming = torch.tensor([1.0, 3.0, -2.0, 1.0])
    gate(preference, least).backward(incoming)
    slopes = [math.exp(-z) / (1 + math.exp(-z)) ** 2 for z in preference.tolist()]
    expected = [slope * g for slope, g in zip(slopes, incoming.tolist(), strict=True)]
    assert preference.grad is not None
    assert preference.grad.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert slopes[0] == 0.25


@pytest.mark.parametrize(
    ("preference", "group", "least", "expected"),
    [
        ([3.0, -1.0, -2.0, 1.0], 1, 0, [1, 0, 0, 1]),
        ([3.0, -1.0, -2.0, 1.0], 2, 0, [1, 1, 0, 0]),  # means 1 and -0.5
        ([-3.0, -1.0, -2.0, 1.0], 2, 1, [0, 0, 1, 1]),  # means -2 and -0.5: the better group stays whole
        ([-3.0, -1.0, -2.0, 1.0], 2, 3, [1, 1, 1, 1]),
        ([3.0, -1.0, -2.0, 1.0], 4, 0, [1, 1, 1, 1]),
        ([-3.0, -1.0, -2.0, 1.0], 4, 0, [0, 0, 0, 0]),
    ],
)
def test_a_group_opens_by_its_mean(preference: list[float], group: int, least: int, expected: list[int]) -> None:
    rule = GateRule(min_channels=least, group=group)
    assert open_channels(torch.tensor(preference), rule).tolist() == expected


def test_the_gradient_of_a_group_is_spread_over_its_channels() -> None:
    preference = torch.tensor([1.0, -3.0], requires_grad=True)
    open_channels(preference, GateRule(min_channels=0, group=2)).backward(torch.tensor([1.0, 2.0]))
    slope = math.exp(1) / (1 + math.exp(1)) ** 2
    assert preference.grad is not None
    assert preference.grad.tolist() == pytest.approx([3 * slope / 2] * 2)


@pytest.mark.parametrize(
    ("group", "least", "groups", "channels"), [(1, 3, 3, 3), (4, 3, 1, 4), (4, 5, 2, 8), (8, 0, 0, 0)]
)
def test_the_least_channels_are_whole_groups(group: int, least: int, groups: int, channels: int) -> None:
    rule = GateRule(min_channels=least, group=group)
    assert (rule.least_groups, rule.least_channels) == (groups, channels)


@pytest.mark.parametrize(("shared", "expected"), [(0, 0), (1, 1), (2, 1), (3, 3), (4, 4), (5, 5), (6, 6)])
def test_a_tied_section_does_not_end_at_a_blocks_input(shared: int, expected: int) -> None:
    assert section(torch.arange(6) < shared).tolist() == [point < expected for point in range(6)]


def test_tied_preferences_by_hand() -> None:
    """Head, in, out and tail input are on the stream; mid and up are not. Here the members are head, in and mid."""
    preference = torch.tensor([[[1.0], [2.0], [5.0], [7.0], [8.0], [9.0]]])
    tied = tie(preference, torch.arange(6) < 3)
    assert tied.flatten().tolist() == [1.5, 1.5, 5, 7, 8, 9]
    assert tie(preference, torch.zeros(6, dtype=torch.bool)).equal(preference)


def test_a_tasks_tied_section_keeps_some_of_what_it_is_offered() -> None:
    """Its means are 1, 1, -1, -1 at `out` and `tail in`; it is offered the channels 0 and 2; one at least stays."""
    preference = torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(2, 6, 4)
    offered, shared = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.arange(6) < 3
    own = own_gates(preference, shared, offered, GateRule(min_channels=1, tied=True))
    assert own[0, 3:].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    worse = own_gates(-10 - preference, shared, offered, GateRule(min_channels=1, tied=True))
    assert worse[0, 3:5].tolist() == [[0, 0, 1, 0], [0, 0, 1, 0]]
    alone = own_gates(preference, torch.zeros(6, dtype=torch.bool), offered, GateRule(min_channels=1, tied=True))
    assert alone[0, 0].tolist() == [1, 1, 0, 0]


def test_controller_starts_with_every_channel_open() -> None:
    """Eq. 6: N x C preferences for each task; three layers, two ReLU."""
    network = NetworkConfig(width=16, blocks=8)
    tasks = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    for seed in range(3):
        preference = Controller(network, 32, torch.Generator().manual_seed(seed))(tasks)
        assert preference.shape == (64, 27, 16)
        assert gate(preference).min() == 1


def test_controller_by_hand() -> None:
    controller = Controller(NETWORK, 2)
    first, second, third = (controller.layers[i] for i in (0, 2, 4))
    values = [
        (first, [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], [0.0, 0.25]),
        (second, [[2.0, 0.0], [0.0, 1.0]], [-0.5, 0.0]),
        (third, [[1.0, 0.0]] * 23 + [[0.0, 1.0]], [-0.25] * 24),
    ]
    with torch.no_grad():
        for layer, weight, bias in values:
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
    preference = controller(torch.tensor([[0.5, 0.1, 0.9], [0.0, 0.75, 0.0]]))
    # task 1: relu(0.5, 0.15) -> relu(0.5, 0.15) -> 0.25, and -0.1 at the last channel of the last point
    assert preference[0].flatten().tolist() == pytest.approx([0.25] * 23 + [-0.1])
    # task 2: relu(0, -0.5) -> relu(-0.5, 0) -> -0.25 everywhere
    assert preference[1].flatten().tolist() == pytest.approx([-0.25] * 24)


def test_controller_is_drawn_from_its_generator() -> None:
    made = [Controller(NETWORK, 8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    weights = [torch.cat([p.flatten() for p in c.parameters()]) for c in made]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_gathered_preference_by_hand() -> None:
    """Eq. 7 with weight 0.25 for the new batch, from z^a = 0."""
    state = consensus(ema=0.25)
    assert not state.preference_NC.any()
    first = state.gather(at_point([4.0, -4.0, 0.0, 8.0], [0.0, -4.0, 0.0, 0.0]))
    assert first[2].tolist() == [0.5, -1.0, 0.0, 1.0]
    second = state.gather(at_point([2.0, 0.0, 4.0, -4.0]))
    assert second[2].tolist() == [0.875, -0.75, 1.0, -0.25]
    assert torch.equal(state.preference_NC, second)


def test_the_papers_literal_weight_is_reachable() -> None:
    state = consensus(ema=0.9)
    assert state.gather(at_point([10.0, 0, 0, 0]))[0].tolist() == pytest.approx([9, 0, 0, 0])
    assert state.gather(at_point([0.0, 0, 0, 0]))[0].tolist() == pytest.approx([0.9, 0, 0, 0])


def test_the_gradient_through_z_a_is_the_batchs_share() -> None:
    """Each of M tasks has alpha / M of z^a, and nothing flows into earlier batches."""
    state = consensus(ema=0.25)
    for _ in range(2):
        preference = at_point([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]).requires_grad_()
        state.gather(preference).sum().backward()
        assert preference.grad is not None
        assert torch.equal(preference.grad, torch.full_like(preference, 0.25 / 2))
    assert not state.preference_NC.requires_grad


def agreed(preference: Tensor, agnostic: list[float], gamma: float = 0.75, least: int = 0) -> bool:
    common = gate(torch.tensor(agnostic), least).expand(NETWORK.points, -1)
    holds = consensus(gamma=gamma).agree(gate(preference, least), common).tolist()
    assert len(set(holds)) == 1
    return bool(holds[0])


@pytest.mark.parametrize(
    ("tasks", "agnostic", "expected"),
    [
        # g(z^a) keeps channels 0 and 1: the right side is 0.75 x 2 = 1.5
        ([[1, 1, -1, -1], [1, 1, -1, -1]], [1, 1, -1, -1], True),  # (2 + 2) / 2 = 2
        ([[1, 1, -1, -1], [1, -1, -1, -1]], [1, 1, -1, -1], True),  # (2 + 1) / 2 = 1.5, equality holds
        ([[1, -1, -1, -1], [1, -1, -1, -1]], [1, 1, -1, -1], False),  # (1 + 1) / 2 = 1
        ([[1, 1, 1, 1], [1, 1, 1, 1]], [1, 1, -1, -1], True),  # what z^a does not keep is not asked
        ([[-1, -1, 1, 1], [1, 1, 1, 1]], [1, 1, -1, -1], False),  # (0 + 2) / 2 = 1
        # a dead layer: 0 >= 0
        ([[-1, -1, -1, -1], [1, 1, 1, 1]], [-1, -1, -1, -1], True),
    ],
)
def test_agreement_by_hand(tasks: list[list[float]], agnostic: list[float], expected: bool) -> None:
    """Eq. 8 for M = 2 tasks, C = 4 channels, gamma = 0.75, with >= so that a dead layer does not block the prefix."""
    assert agreed(at_point(*[[float(z) for z in row] for row in tasks]), [float(z) for z in agnostic]) is expected


def test_agreement_is_told_point_by_point() -> None:
    gates = at_point([1.0, 1.0, 1.0, 1.0])
    gates[:, 2] = 0.0
    assert consensus().agree(gates, torch.ones(NETWORK.points, 4)).tolist() == [True, True, False, True, True, True]


def test_agreement_sees_the_kept_minimum() -> None:
    apart = at_point([-1.0, -2.0, -3.0, -4.0])
    assert agreed(apart, [-1.0, -2.0, -3.0, -4.0], least=1)
    assert not agreed(apart, [-4.0, -3.0, -2.0, -1.0], least=1)


def test_accumulated_agreement_by_hand() -> None:
    """Eq. 9 with weight 0.25, from s = 0."""
    state = consensus(ema=0.25)
    assert not state.agreement_N.any()
    yes, no = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)
    expected = [0.25, 0.4375, 0.328125, 0.49609375]
    for value, batch in zip(expected, (yes, yes, no, yes), strict=True):
        state.accumulate(batch)
        assert state.agreement_N.tolist() == [value] * 6


def test_shared_points_are_the_agreeing_prefix() -> None:
    """Eq. 10: phi is 1 up to the first s that is not above gamma."""
    state = consensus(gamma=0.75)
    assert not state.shared().any()
    state.agreement_N.copy_(torch.tensor([0.9, 0.8, 0.75, 1.0, 1.0, 1.0]))
    assert state.shared().tolist() == [True, True, False, False, False, False]
    state.agreement_N.fill_(0.76)
    assert state.shared().all()


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([1, 1, 0, 1], [1, 1, 0, 0]),
        ([0, 1, 1, 1], [0, 0, 0, 0]),
        ([1, 1, 1, 1], [1, 1, 1, 1]),
        ([1, 0, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_prefix(holds: list[int], expected: list[int]) -> None:
    assert prefix(torch.tensor(holds).bool()).int().tolist() == expected


def test_final_sharing_is_the_share_of_agreeing_batches_not_the_last_ones() -> None:
    state = consensus(gamma=0.75, ema=0.25)
    assert not state.final_shared().any()
    for step in range(400):
        agreed_N = torch.ones(6, dtype=torch.bool)
        agreed_N[3:] = step % 2 == 0  # half of the batches agree there
        state.accumulate(agreed_N if step < 398 else ~agreed_N)
    assert state.final_shared().tolist() == [True, True, True, False, False, False]
    assert not state.shared().any()


def test_the_slow_average_has_no_bias_at_the_start() -> None:
    state = consensus(gamma=0.75, ema=0.25)
    state.accumulate(torch.ones(6, dtype=torch.bool))
    assert state.slow_N.tolist() == pytest.approx([SLOW * 0.25] * 6)
    assert state.final_shared().all()


def test_the_consensus_is_saved_with_the_model() -> None:
    state, other = consensus(), consensus()
    state.gather(at_point([1.0, 2.0, 3.0, 4.0]))
    state.accumulate(torch.ones(6, dtype=torch.bool))
    other.load_state_dict(state.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(state.buffers(), other.buffers(), strict=True))
    assert len(state.state_dict()) == 4
