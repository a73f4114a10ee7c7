"""Equations 1, 2 and 4 by hand, the paper's figures, and the laws of the cost."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tatsnet.network.architecture import Architecture, NetworkConfig, Pattern, gather
from tatsnet.network.flops import CostModel, controller_flops, dense_flops, effect_cost, even, specific_flops

TINY = NetworkConfig(width=4, blocks=1)  # 6 points: head, in, mid, out, tail in, up out
PAPER = NetworkConfig()
TASKS = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

# Multiply-adds per image pixel and kernel tap, inputs x outputs x area, for kept channels 4 2 3 1 2 3:
# head 3 x 4 / 4, conv1 2 x 3 / 4, conv2 3 x 1 / 4, tail 2 x 4 / 4, up 1 x 3, out 3 x 3
BY_HAND = (3.0, 1.5, 0.75, 2.0, 3.0, 9.0)
DENSE_BY_HAND = 3 + 4 + 4 + 4 + 4 + 12
COUNTS = (4, 2, 3, 1, 2, 3)


def pattern(counts: tuple[int, ...]) -> Pattern:
    return tuple(tuple(range(count)) for count in counts)


def network_of(*counts: tuple[int, ...], shared: int = 0, hidden: int = 0) -> Architecture:
    return gather(TINY, shared, list(zip(TASKS, map(pattern, counts), strict=False)), hidden)


@pytest.mark.parametrize(
    ("height", "width", "gflops", "within"),
    [
        (720, 1280, 1124.3, 0.001),
        (1080, 2048, 2698.4, 0.001),
        (2160, 3840, 10119.2, 0.001),
        (321, 481, 189.1, 0.0025),
        (481, 321, 189.1, 0.0025),
    ],
)
def test_the_papers_dense_figures(height: int, width: int, gflops: float, within: float) -> None:
    """Table 1 (HD, 2K, 4K) and Table 3 (CBSD68)."""
    assert dense_flops(PAPER, height, width) / 1e9 == pytest.approx(gflops, rel=within)


def test_dense_by_hand() -> None:
    assert dense_flops(TINY, 10, 6) == 2 * 9 * DENSE_BY_HAND * 60


@pytest.mark.parametrize(("size", "padded"), [(1, 2), (2, 2), (321, 322), (480, 480)])
def test_sizes_are_counted_as_padded(size: int, padded: int) -> None:
    assert even(size) == padded
    assert dense_flops(TINY, size, 4) == dense_flops(TINY, padded, 4)


@pytest.mark.parametrize("shared", range(7))
def test_the_shared_part_by_hand(shared: int) -> None:
    """A convolution is shared when its output's selection is; those without one follow what they read, or up's."""
    needed = (1, 3, 4, 5, 6, 6)  # shared points that head, conv1, conv2, tail, up and out need
    once = sum(cost for cost, least in zip(BY_HAND, needed, strict=True) if shared >= least)
    total, per_pattern = specific_flops(network_of(COUNTS, shared=shared), 10, 6)
    assert total == pytest.approx(18 * 60 * once, rel=1e-6, abs=1e-6)
    assert per_pattern == pytest.approx([18 * 60 * (sum(BY_HAND) - once)], rel=1e-6, abs=1e-3)


def test_equation_1_a_fixed_network_costs_the_same_for_any_number_of_effects() -> None:
    dense = network_of((4,) * 6)
    for effects in (1, 2, 27):
        cost = effect_cost(dense, 10, 6, effects)
        assert cost.per_effect == pytest.approx(dense_flops(TINY, 10, 6), rel=1e-6)
        assert cost.ratio == pytest.approx(1, rel=1e-6)


def test_equation_2_by_hand() -> None:
    """The mean over tasks of the specific networks, and the controller once per effect."""
    # a third pattern keeps one channel everywhere: 3/4 + 1/4 + 1/4 + 4/4 + 1 + 3 = 6.25
    found = network_of(COUNTS, COUNTS, (1,) * 6, hidden=5)
    auxiliary = 2 * (3 * 5 + 5 * 5 + 5 * 24)
    expected = 18 * 60 * (19.25 + 19.25 + 6.25) / 3 + auxiliary
    for effects in (1, 27):
        cost = effect_cost(found, 10, 6, effects)
        assert cost.auxiliary == auxiliary == controller_flops(TINY, 5)
        assert cost.shared == 0
        assert cost.per_effect == pytest.approx(expected, rel=1e-6)
        assert cost.ratio == pytest.approx(expected / (18 * 60 * DENSE_BY_HAND), rel=1e-6)


@pytest.mark.parametrize("effects", [1, 3, 27])
def test_equation_4_by_hand(effects: int) -> None:
    """With 3 shared points head and conv1 (4.5) are made once; the rest is 14.75, or 16.25 with two more at `out`."""
    found = network_of(COUNTS, (4, 2, 3, 3, 2, 3), COUNTS, shared=3, hidden=5)
    specific = (14.75 + (14.75 + 2 * 3 / 4) + 14.75) / 3
    cost = effect_cost(found, 10, 6, effects)
    assert cost.shared == pytest.approx(18 * 60 * 4.5, rel=1e-6)
    assert cost.specific == pytest.approx(18 * 60 * specific, rel=1e-6)
    assert cost.auxiliary == 320
    assert cost.per_effect == pytest.approx(18 * 60 * (4.5 / effects + specific) + 320, rel=1e-6)


@pytest.mark.parametrize("effects", [1, 27])
def test_the_searchs_resource_is_the_found_networks_cost(effects: int) -> None:
    """R1 of a batch of the found patterns is eq. 4 without the controller, as a share of dense."""
    rows = (COUNTS, (4, 2, 3, 3, 2, 3), (4, 2, 3, 4, 1, 1))
    shared_N = torch.arange(6) < 3
    r1 = CostModel(TINY).resource(torch.tensor(rows, dtype=torch.float64), shared_N, effects)
    assert float(r1) == pytest.approx(effect_cost(network_of(*rows, shared=3), 10, 6, effects).ratio, rel=1e-9)


def random_gates(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(4, TINY.points, TINY.width, generator=generator) > 0.5).double()


@pytest.mark.parametrize("shared", [0, 3, 6])
def test_flops_grow_with_every_gate(shared: int) -> None:
    model, shared_N = CostModel(TINY), torch.arange(6) < shared
    for seed in range(5):
        gates = random_gates(seed)
        before = float(model.resource(gates.sum(-1), shared_N, 27))
        for index in (gates == 0).nonzero().tolist():
            more = gates.clone()
            more[tuple(index)] = 1
            assert float(model.resource(more.sum(-1), shared_N, 27)) >= before


@pytest.mark.parametrize("shared", [0, 3, 6])
def test_the_gradient_of_the_resource_closes_gates(shared: int) -> None:
    """Descending R1 lowers the gate of every channel, open or closed, at every point."""
    gates = random_gates().requires_grad_()
    counts = gates.sum(-1) + 1  # nowhere 0: what meets an empty layer costs nothing
    CostModel(TINY).resource(counts, torch.arange(6) < shared, 27).backward()  # type: ignore[no-untyped-call]
    assert gates.grad is not None
    assert (gates.grad > 0).all()


def test_the_gradient_by_hand() -> None:
    """d(conv1 + conv2) / d mid = (in + out) / 4, as a share of dense; 1/M of it where the point is shared."""
    for shared, scale in ((0, 1.0), (6, 1 / 27)):
        counts = torch.tensor([COUNTS], dtype=torch.float64, requires_grad=True)
        CostModel(TINY).resource(counts, torch.arange(6) < shared, 27).backward()  # type: ignore[no-untyped-call]
        assert counts.grad is not None
        assert float(counts.grad[0, 2]) == pytest.approx(scale * (2 + 1) / 4 / DENSE_BY_HAND, rel=1e-6)


def test_cost_falls_with_the_number_of_effects_only_where_something_is_shared() -> None:
    sharing = [effect_cost(network_of(COUNTS, shared=3), 9, 9, m).per_effect for m in (1, 2, 5, 27, 1000)]
    alone = [effect_cost(network_of(COUNTS), 9, 9, m).per_effect for m in (1, 27)]
    assert all(a > b for a, b in pairwise(sharing))
    assert alone[0] == alone[1]
    assert sharing[0] == pytest.approx(alone[0], rel=1e-6)


def paper_without_pruning(shared: int, effects: int = 27) -> float:
    kept = pattern((64,) * PAPER.points)
    found = gather(PAPER, shared, [(TASKS[0], kept)])
    return effect_cost(found, 321, 481, effects).ratio


def test_table_3_sharing_without_pruning() -> None:
    """M = 1 stays dense; M = 27 goes from dense to dense / 27, and is 132.0 G of 189.1 G at 31 % shared layers."""
    ratios = [paper_without_pruning(shared) for shared in range(PAPER.points + 1)]
    assert all(a >= b for a, b in pairwise(ratios))
    assert ratios[0] == pytest.approx(1, rel=1e-6)
    assert ratios[-1] == pytest.approx(1 / 27, rel=1e-6)
    assert ratios[31] == pytest.approx(132.0 / 189.1, rel=0.02)
    assert all(paper_without_pruning(shared, 1) == pytest.approx(1, rel=1e-6) for shared in (0, 31, 99))


def test_the_controllers_cost_is_small_beside_a_photo() -> None:
    assert controller_flops(PAPER, 64) < 1e-5 * dense_flops(PAPER, 321, 481)


def test_no_effects_and_no_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="effects must be at least 1, got 0"):
        effect_cost(network_of(COUNTS), 8, 8, 0)
    for height, width in ((0, 8), (8, 0), (-1, 8)):
        with pytest.raises(ValueError, match=f"got {width}x{height}"):
            dense_flops(TINY, height, width)
