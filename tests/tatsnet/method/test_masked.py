"""The network during a search: what each phase does to the gates, and what freezing settles for good."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tatsnet.data.degradation import GRID
from tatsnet.method.gates import gate
from tatsnet.method.masked import MaskedNetwork, Phase, to_pattern
from tatsnet.method.settings import MethodConfig
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import CostModel
from tests.tatsnet.networks import some_tasks

NETWORK = NetworkConfig(width=8, blocks=2)  # 9 selection points


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def masked(*, sharing: bool = True, spread: float = 1.5, gamma: float = 0.75, **method: Any) -> MaskedNetwork:
    """A model whose controller answers the task: preferences of both signs, that change over the tasks."""
    settings = MethodConfig(**({"min_channels": 1, "controller_hidden": 8} | method))
    model = MaskedNetwork(NETWORK, settings, gamma=gamma, sharing=sharing, generator=seeded())
    with torch.no_grad():
        for parameter in model.controller.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=seeded(parameter.numel())))
    return model


def with_agreement(model: MaskedNetwork, points: int) -> MaskedNetwork:
    """As if all batches of a long search had agreed on the first `points` and on nothing after."""
    agreed = torch.arange(NETWORK.points) < points
    for _ in range(60):
        model.consensus.accumulate(agreed)
    return model


def tasks(batch: int = 6, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, generator=seeded(seed))


def buffers(model: MaskedNetwork) -> list[Tensor]:
    return [buffer.clone() for buffer in model.buffers()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_effective_gates_are_the_agnostic_ones_where_shared() -> None:
    model = with_agreement(masked(), 4)
    gates = model.gates(tasks(), Phase.JOINT)
    assert gates.effective_BNC.shape == (6, 9, 8)
    assert int(gates.shared_N.sum()) == 4
    for point in range(9):
        expected = gates.agnostic_NC[point].expand(6, -1) if gates.shared_N[point] else gates.task_BNC[:, point]
        assert torch.equal(gates.effective_BNC[:, point], expected)
    assert torch.equal(gates.task_BNC, gate(model.controller(tasks()), 1))
    assert torch.equal(gates.agnostic_NC, gate(model.consensus.preference_NC, 1))


def test_specific_phase_gathers_but_shares_nothing() -> None:
    """Eq. 7 goes on, eq. 9 does not: phi = 0."""
    model = with_agreement(masked(), 9)
    before = model.consensus.agreement_N.clone()
    gates = model.gates(tasks(), Phase.SPECIFIC)
    assert not gates.shared_N.any()
    assert torch.equal(model.consensus.agreement_N, before)
    assert torch.allclose(model.consensus.preference_NC, 0.1 * model.controller(tasks()).mean(0), atol=1e-6)


def test_joint_phase_accumulates_agreement_and_shares() -> None:
    """Tasks that all want the same agree at once; s passes gamma = 0.75 after 14 batches of weight 0.1."""
    model = masked(spread=0.0)
    with torch.no_grad():
        model.controller.layers[-1].bias.copy_(torch.randn(72, generator=seeded(3)))  # type: ignore[operator, union-attr]
    shared = [int(model.gates(tasks(), Phase.JOINT).shared_N.sum()) for _ in range(16)]
    assert 1 - 0.9**13 < 0.75 < 1 - 0.9**14
    assert shared == [0] * 13 + [9] * 3


def test_a_shared_gate_passes_the_gradient_on_to_every_task() -> None:
    """The forward pass uses g(z^a); its gradient reaches the controller through the batch's share of eq. 7."""
    model = with_agreement(masked(), 9)
    gates = model.gates(tasks(), Phase.JOINT)
    assert gates.shared_N.all()
    gates.effective_BNC.sum().backward()  # type: ignore[no-untyped-call]
    grads = [p.grad for p in model.controller.parameters()]
    assert all(g is not None and g.abs().sum() > 0 for g in grads)


@pytest.mark.parametrize(("specific", "left"), [(0, 9), (3, 6), (9, 0), (12, 0)])
def test_the_last_points_may_be_kept_task_specific(specific: int, left: int) -> None:
    model = with_agreement(masked(specific_points=specific), 9)
    assert int(model.gates(tasks(), Phase.JOINT).shared_N.sum()) == left
    model.freeze(some_tasks(seeded()))
    assert model.shared == left


def test_tsnet_never_shares() -> None:
    model = masked(sharing=False)
    for _ in range(30):
        assert not model.gates(torch.zeros(4, 3), Phase.JOINT).shared_N.any()
    model.freeze(some_tasks(seeded()))
    assert model.shared == 0
    assert not model.gates(tasks(), Phase.FROZEN).shared_N.any()
    assert model.architecture(GRID).shared == 0


@pytest.mark.parametrize("points", [0, 4, 9])
def test_a_fixed_number_of_shared_points_without_pruning(points: int) -> None:
    """Table 3's ablation: nothing is pruned, so many points are shared from the joint phase on."""
    model = masked(shared_points=points, prune=False)
    assert not model.searches_sharing
    assert not model.gates(tasks(), Phase.SPECIFIC).shared_N.any()
    for phase in (Phase.JOINT, Phase.FROZEN):
        gates = model.gates(tasks(), phase)
        assert int(gates.shared_N.sum()) == points
        assert gates.task_BNC.min() == 1
    model.freeze(some_tasks(seeded()))
    gates = model.gates(tasks(), Phase.FROZEN)
    assert gates.effective_BNC.min() == 1
    found = model.architecture(GRID)
    assert found.shared == points
    assert found.patterns == (((0, 1, 2, 3, 4, 5, 6, 7),) * 9,)


def test_an_open_architecture_is_not_used_as_a_found_one() -> None:
    with pytest.raises(RuntimeError, match=r"call freeze\(\)"):
        masked()(torch.zeros(1, 3, 4, 4), tasks(1))


def test_freezing_settles_the_mean_preference_and_the_slow_averages_phi() -> None:
    model = with_agreement(masked(), 4)
    model.consensus.agreement_N.zero_()  # the last batches disagreed: that is chance
    model.freeze(some_tasks(seeded()))
    assert model.shared == 4
    many = model.controller(torch.rand(20_000, 3, generator=seeded(9))).detach()
    error = many.std(0) / 2048**0.5
    assert ((model.consensus.preference_NC - many.mean(0)).abs() < 5 * error + 1e-6).all()


def test_frozen_gates_are_constant() -> None:
    model = with_agreement(masked(), 4)
    model.freeze(some_tasks(seeded()))
    before = buffers(model)
    first = model.gates(tasks(), Phase.FROZEN)
    for seed in range(5):
        model.gates(tasks(seed=seed), Phase.FROZEN)
        model(torch.rand(6, 3, 8, 8), tasks(seed=seed))
    assert same(before, buffers(model))
    assert all(torch.equal(a, b) for a, b in zip(first, model.gates(tasks(), Phase.FROZEN), strict=True))
    assert not any(p.requires_grad for p in model.controller.parameters())
    assert not first.effective_BNC.requires_grad


def test_a_gate_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    model = with_agreement(masked(), 4)
    model.freeze(some_tasks(seeded()))
    together = model.gates(tasks(), Phase.FROZEN).effective_BNC
    alone = torch.cat([model.gates(t[None], Phase.FROZEN).effective_BNC for t in tasks()])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("points", [0, 1, 4, 7, 9])
def test_patterns_agree_at_the_shared_points(points: int) -> None:
    model = with_agreement(masked(), points)
    model.freeze(some_tasks(seeded()))
    patterns = model.patterns(GRID)
    assert model.shared == points
    assert len({pattern[:points] for pattern in patterns}) == 1
    assert len(set(patterns)) == 1 if points == 9 else len(set(patterns)) > 3
    found = model.architecture(GRID)
    assert found.shared == points
    assert found.controller_hidden == 8
    assert [found.patterns[index] for _, index in found.tasks] == patterns
    assert tuple(task for task, _ in found.tasks) == GRID


TIED = [(group, points) for group in (1, 4) for points in (0, 1, 2, 3, 4, 7, 8, 9)]


@pytest.mark.parametrize(("group", "points"), TIED)
@pytest.mark.parametrize("phase", [Phase.SPECIFIC, Phase.JOINT, Phase.FROZEN])
def test_a_tied_section_has_one_set_of_the_streams_channels(group: int, points: int, phase: Phase) -> None:
    model = with_agreement(masked(tied=True, group=group), points)
    if phase is Phase.FROZEN:
        model.freeze(some_tasks(seeded()))
    gates = model.gates(tasks(), phase)
    shared = int(gates.shared_N.sum())
    part = shared - 1 if shared % 3 == 2 and shared < 8 else shared
    stream = [point for point in range(9) if point % 3 != 2]
    for mine in ([p for p in stream if p < part], [p for p in stream if p >= part]):
        assert all(torch.equal(gates.effective_BNC[:, p], gates.effective_BNC[:, mine[0]]) for p in mine)
    if 0 < part < 8:
        assert (gates.effective_BNC[:, 7] <= gates.effective_BNC[:, 0]).all()
    if phase is Phase.FROZEN:
        assert shared == part


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("group", [2, 4, 8])
def test_the_channels_of_a_group_are_alike(group: int, tied: bool) -> None:
    model = with_agreement(masked(tied=tied, group=group, min_channels=3), 4)
    for phase in (Phase.SPECIFIC, Phase.JOINT):
        gates = model.gates(tasks(), phase)
        for one in (gates.task_BNC, gates.agnostic_NC, gates.effective_BNC):
            runs = one.view(*one.shape[:-1], -1, group)
            assert torch.equal(runs, runs[..., :1].expand_as(runs))
            assert (one.sum(-1) >= 3).all()


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("points", [0, 4, 9])
def test_every_point_of_a_tied_stream_hears_the_loss(group: int, points: int) -> None:
    """The gradient of any one gate reaches the preferences at all points of its section."""
    model = with_agreement(masked(tied=True, group=group), points)
    heard: list[Tensor] = []
    model.controller.register_forward_hook(
        lambda _, __, preference: heard.append(preference) or preference.retain_grad()
    )  # type: ignore[func-returns-value]
    gates = model.gates(tasks(), Phase.JOINT)
    gates.effective_BNC[:, [0, 7]].sum().backward()  # type: ignore[no-untyped-call]
    assert heard[0].grad is not None
    moved = heard[0].grad.abs().sum((0, 2)) > 0
    assert moved.tolist() == [point % 3 != 2 for point in range(9)]


@pytest.mark.parametrize("group", [1, 4])
def test_a_tied_network_costs_less_with_every_lower_preference(group: int) -> None:
    """FLOPs never rise when a channel's preferences fall at every point, whatever else is tied to it."""
    model = with_agreement(masked(tied=True, group=group), 4)
    model.freeze(some_tasks(seeded()))
    cost, last = CostModel(NETWORK), float("inf")
    bias = model.controller.layers[-1].bias
    for _ in range(12):
        gates = model.gates(tasks(), Phase.FROZEN)
        spent = float(cost.resource(gates.effective_BNC.sum(-1), gates.shared_N, 27))
        assert spent <= last + 1e-7
        last = spent
        with torch.no_grad():
            bias.sub_(0.5)  # type: ignore[operator, union-attr]
        model.consensus.preference_NC.sub_(0.5)


def test_a_group_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="group 3 does not divide the network's width 8"):
        masked(group=3)


def test_to_pattern() -> None:
    assert to_pattern(torch.tensor([[1.0, 0, 1], [0, 0, 0]])) == ((0, 2), ())


@pytest.mark.parametrize("points", [0, 1, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("seed", [0, 1])
def test_canonical_patterns_leave_the_function_unchanged(points: int, seed: int) -> None:
    """In float64, with every bias away from zero: idle channels are idle to the last digit."""
    model = with_agreement(masked(min_channels=seed), points).double()
    with torch.no_grad():
        for parameter in model.supernet.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=seeded(seed), dtype=torch.float64))
    model.freeze(some_tasks(seeded(seed)))
    task = torch.tensor(GRID, dtype=torch.float64)
    image = torch.rand(1, 3, 9, 12, generator=seeded(5), dtype=torch.float64).expand(27, -1, -1, -1)
    smaller = torch.zeros(27, 9, 8, dtype=torch.float64)
    for row, pattern in zip(smaller, model.patterns(GRID), strict=True):
        for point, kept in enumerate(pattern):
            row[point, list(kept)] = 1
    gates = model.gates(task, Phase.FROZEN)
    assert (smaller <= gates.effective_BNC).all()
    assert smaller.sum() < gates.effective_BNC.sum()
    with torch.no_grad():
        expected = model(image, task)
        got = model.supernet(image, task, smaller, gates.shared_N)
    assert (got - expected).abs().max() < 1e-12
    assert (expected - image).abs().max() > 1e-3


def test_what_is_saved_beside_the_weights() -> None:
    """Checkpoints have these names."""
    model = masked()
    weights = {name for name, _ in model.named_parameters()}
    gathered = {f"consensus.{name}" for name in ("preference_NC", "agreement_N", "slow_N", "slow_weight")}
    assert model.state_dict().keys() - weights == gathered | {"fixed_shared_N", "is_frozen"}


def test_a_frozen_model_is_saved_and_loaded_whole() -> None:
    model, other = with_agreement(masked(), 4), masked(spread=0.1)
    model.freeze(some_tasks(seeded()))
    other.load_state_dict(model.state_dict())
    image = torch.rand(6, 3, 7, 9, generator=seeded(2))
    assert torch.equal(model(image, tasks()), other(image, tasks()))
    assert other.architecture(GRID) == model.architecture(GRID)
