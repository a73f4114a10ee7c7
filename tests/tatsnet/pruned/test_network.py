"""An extracted network computes what the masked one computes, with the convolutions that its cost counts."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tatsnet.data.degradation import GRID
from tatsnet.method.masked import MaskedNetwork, Phase
from tatsnet.network.architecture import NetworkConfig, canonical
from tatsnet.network.flops import controller_flops, effect_cost, specific_flops
from tatsnet.network.tasks import Task
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import CACHED_SECTIONS, ExtractedNetwork
from tatsnet.runtimes.torch.layers import convolve
from tests.tatsnet.networks import DEAD, HALF, HIDDEN, OPEN, SPARSE, TINY, frozen_network, random_tasks

KNOWN = GRID
SIZES = [(1, 1), (1, 2), (2, 1), (3, 1), (4, 6), (7, 5), (8, 9)]


def image(height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.rand(1, 3, height, width, generator=generator, dtype=dtype)


def extracted(model: MaskedNetwork, tasks: tuple[Task, ...] = KNOWN) -> ExtractedNetwork:
    return ExtractedNetwork(slice_parts(model, tasks))


def difference(model: MaskedNetwork, network: ExtractedNetwork, picture: Tensor, tasks: list[Task]) -> float:
    encoded = network.encode(picture)
    with torch.inference_mode():
        restored = [model(picture, torch.tensor([task], dtype=picture.dtype)) for task in tasks]
    made = [network.effect(encoded, task) for task in tasks]
    assert all(a.shape == b.shape for a, b in zip(made, restored, strict=True))
    return max(float((a - b).abs().max()) for a, b in zip(made, restored, strict=True))


@pytest.mark.parametrize("preference", [DEAD, SPARSE, HALF, OPEN])
@pytest.mark.parametrize("shared", range(TINY.points + 1))
def test_equals_the_masked_network_wherever_sharing_ends(shared: int, preference: float) -> None:
    model = frozen_network(shared, preference, seed=shared).double()
    tasks = [*KNOWN[::5], *random_tasks(4)]
    assert difference(model, extracted(model), image(7, 9), tasks) <= 1e-10


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_the_masked_network_at_every_size(height: int, width: int) -> None:
    model = frozen_network(4).double()
    assert difference(model, extracted(model), image(height, width), [*KNOWN[::9], *random_tasks(2)]) <= 1e-10


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_masked_network_in_single_precision(seed: int) -> None:
    model = frozen_network(14, min_channels=2, network=NetworkConfig(width=16, blocks=6), seed=seed)
    network = extracted(model)
    picture = image(13, 20, torch.float32)
    assert len(network.architecture.patterns) > 5
    assert difference(model, network, picture, [*KNOWN, *random_tasks(10, seed)]) <= 1e-5


@pytest.mark.parametrize("shared", [0, 5, 9])
def test_an_unpruned_network_is_extracted_whole(shared: int) -> None:
    model = frozen_network(shared, SPARSE, prune=False).double()
    network = extracted(model)
    assert network.pattern((0.1, 0.2, 0.3)) == tuple([tuple(range(8))] * TINY.points)
    assert difference(model, network, image(6, 5), random_tasks(3)) <= 1e-10


def test_a_batch_is_restored_image_by_image() -> None:
    network = extracted(frozen_network(4).double())
    both = torch.cat([image(6, 7), 1 - image(6, 7)])
    together = network.effect(network.encode(both), KNOWN[13])
    alone = [network.effect(network.encode(one[None]), KNOWN[13]) for one in both]
    assert torch.allclose(together, torch.cat(alone), atol=1e-12)


@pytest.mark.parametrize("shared", [0, 3, 5, 7, 8, 9])
@pytest.mark.parametrize("preference", [DEAD, SPARSE, HALF, OPEN])
def test_real_convolutions_cost_what_the_cost_model_says(shared: int, preference: float) -> None:
    network = extracted(frozen_network(shared, preference))
    height, width = 7, 10
    expected_shared, expected_specific = specific_flops(network.architecture, height, width)
    with FlopCounterMode(display=False) as counter:
        encoded = network.encode(image(height, width))
    assert counter.get_total_flops() == pytest.approx(expected_shared, rel=1e-6)
    total = 0
    for task, pattern in network.architecture.tasks:
        with FlopCounterMode(display=False) as counter:
            network.effect(encoded, task)
        assert counter.get_total_flops() == pytest.approx(expected_specific[pattern], rel=1e-6)
        total += counter.get_total_flops()
    cost = effect_cost(network.architecture, height, width, 27)
    per_effect = cost.auxiliary + (expected_shared + total) / 27
    assert cost.per_effect == pytest.approx(per_effect, rel=1e-6)


def test_a_new_task_costs_one_pass_of_the_controller_more() -> None:
    network = extracted(frozen_network(TINY.points))
    encoded = network.encode(image(4, 4))
    with FlopCounterMode(display=False) as counter:
        network.effect(encoded, random_tasks(1)[0])
    assert counter.get_total_flops() == controller_flops(TINY, HIDDEN)


@pytest.mark.parametrize("shared", range(TINY.points + 1))
def test_effects_leave_what_they_share_alone(shared: int) -> None:
    network = extracted(frozen_network(shared))
    encoded = network.encode(image(6, 8, torch.float32))
    before = [tensor.clone() for tensor in encoded.state[:3]]
    forwards = [network.effect(encoded, task) for task in KNOWN]
    assert all(torch.equal(a, b) for a, b in zip(before, encoded.state[:3], strict=True))
    backwards = [network.effect(encoded, task) for task in reversed(KNOWN)]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_the_input_image_is_left_alone() -> None:
    network = extracted(frozen_network(0))
    picture = image(6, 8, torch.float32)
    before = picture.clone()
    network.effect(network.encode(picture), KNOWN[5])
    assert torch.equal(picture, before)


@pytest.mark.parametrize("shared", [0, 2, 4])
def test_the_pattern_of_any_task_is_the_masked_networks(shared: int) -> None:
    model = frozen_network(shared)
    network = extracted(model)
    tasks = random_tasks(20)
    assert [network.pattern(task) for task in tasks] == model.patterns(tasks)
    assert {network.pattern(task) for task in tasks} - set(network.architecture.patterns)


@pytest.mark.parametrize("shared", range(TINY.points + 1))
def test_canonical_gates_compute_the_same(shared: int) -> None:
    model = frozen_network(shared, SPARSE).double()
    task = torch.tensor([[0.3, 0.6, 0.1]], dtype=torch.float64)
    gates = model.gates(task, Phase.FROZEN)
    kept = tuple(tuple(row.nonzero().flatten().tolist()) for row in gates.effective_BNC[0])
    fewer = torch.zeros_like(gates.effective_BNC)
    for point, channels in enumerate(canonical(TINY, kept, shared)):
        fewer[0, point, list(channels)] = 1
    assert shared > 6 or fewer.sum() < gates.effective_BNC.sum()
    restored = (model.supernet(image(5, 6), task, g, gates.shared_N) for g in (fewer, gates.effective_BNC))
    assert torch.allclose(*restored, atol=1e-12)


def test_more_patterns_than_the_cache_holds_are_still_right() -> None:
    model = frozen_network(0, network=NetworkConfig(width=16, blocks=3)).double()
    network = extracted(model)
    tasks = random_tasks(CACHED_SECTIONS + 10)
    encoded = network.encode(image(2, 2))
    first = network.effect(encoded, tasks[0])
    assert len({network.pattern(task) for task in tasks}) > CACHED_SECTIONS
    for task in tasks:
        network.effect(encoded, task)
    assert len(network._sections) == CACHED_SECTIONS
    assert torch.equal(network.effect(encoded, tasks[0]), first)


@pytest.mark.parametrize(("shared", "own"), [(0, True), (4, True), (TINY.points, False)])
def test_known_tasks_have_sections_of_their_own_and_others_their_patterns(shared: int, own: bool) -> None:
    """Where a section has residual scales at all."""
    network, known = extracted(frozen_network(shared, OPEN)), GRID
    patterns = {network.pattern(task) for task in known}
    assert len(patterns) < len(known)
    network.prepare(known)
    assert len(network._sections) == (len(known) if own else len(patterns))
    others = random_tasks(5)
    network.prepare(others)
    patterns = {network.pattern(task) for task in others} | (set() if own else patterns)
    assert len(network._sections) == len(known) * own + len(patterns)


BAD_TASKS = [(0.1, 0.2), (0.0, 0.0, 1.01), (-0.01, 0.0, 0.0), (float("nan"), 0.0, 0.0), (0.0, 0.0, float("inf"))]


@pytest.mark.parametrize("task", BAD_TASKS)
def test_a_task_outside_its_range_is_refused(task: tuple[float, ...]) -> None:
    network = extracted(frozen_network(4))
    with pytest.raises(ValueError, match=r"three numbers in \[0, 1\]"):
        network.effect(network.encode(image(4, 4)), task)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 1, 4, 4), (1, 3, 0, 4), (0, 3, 4, 4)])
def test_what_is_no_image_batch_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="B x 3 x H x W"):
        extracted(frozen_network(4)).encode(torch.zeros(shape))


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [*itertools.product((0, 1, 3), (0, 1, 3), (1, 2))])
def test_a_convolution_without_channels_is_the_masked_one(inputs: int, outputs: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(4, 4, 3, 3, generator=generator), torch.randn(4, generator=generator)
    x = torch.randn(2, 4, 6, 8, generator=generator)
    gate = (torch.arange(4) < inputs).float().view(1, 4, 1, 1)
    expected = F.conv2d(x * gate, weight, bias, stride, padding=1)[:, :outputs]
    made = convolve(x[:, :inputs], weight[:outputs, :inputs], bias[:outputs], stride)
    assert made.shape == expected.shape
    assert torch.allclose(made, expected, atol=1e-5)
