"""The super network: sizes, gates that really remove a channel, scales that a shared block no longer has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.supernet import MEAN_COLOUR, MEAN_TASK, SuperNetwork, pad_even

NETWORK = NetworkConfig(width=8, blocks=2)  # 9 selection points


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def net() -> SuperNetwork:
    """In float64, every bias away from zero, so that a channel's bias cannot hide."""
    network = SuperNetwork(NETWORK, seeded()).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(1), dtype=torch.float64))
    return network


def photo(batch: int = 2, height: int = 10, width: int = 12) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=seeded(2), dtype=torch.float64)


def tasks(batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, generator=seeded(3), dtype=torch.float64)


def all_open(batch: int = 2) -> Tensor:
    return torch.ones(batch, NETWORK.points, NETWORK.width, dtype=torch.float64)


def shared(count: int) -> Tensor:
    return torch.arange(NETWORK.points) < count


@torch.no_grad()
def reference(net: SuperNetwork, x: Tensor, task: Tensor) -> Tensor:
    """Section 7.3, written down once more, plainly, for one image of even size."""
    width, blocks = net.config.width, net.config.blocks
    local = net.local_scale(task).view(blocks, width)
    stream = F.conv2d(x - MEAN_COLOUR, net.head.weight, net.head.bias, stride=2, padding=1)
    for index, block in enumerate(net.blocks):
        hidden = block.conv2(torch.relu(block.conv1(stream)))  # type: ignore[operator]
        stream = stream + hidden * local[index].view(1, -1, 1, 1)
    half = net.tail(stream)
    full = torch.empty(1, width // 4, *x.shape[2:], dtype=x.dtype)
    for dy in range(2):
        for dx in range(2):
            full[:, :, dy::2, dx::2] = half[:, 2 * dy + dx :: 4]
    residual = net.out(torch.relu(net.up(full)))
    return x + net.global_scale(task).view(1, 3, 1, 1) * residual


def test_forward_is_the_papers_network(net: SuperNetwork) -> None:
    x, t = photo(), tasks()
    expected = torch.cat([reference(net, x[i : i + 1], t[i : i + 1]) for i in range(2)])
    assert torch.allclose(net(x, t), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (7, 10), (10, 7), (11, 13)])
def test_any_size_goes_in_and_comes_out(net: SuperNetwork, size: tuple[int, int]) -> None:
    x = photo(2, *size)
    out = net(x, tasks())
    assert out.shape == x.shape
    assert out.isfinite().all()


def test_odd_sizes_are_reflected_then_cropped(net: SuperNetwork) -> None:
    x = photo(1, 5, 7)
    by_hand = torch.cat([x, x[:, :, 3:4]], dim=2)
    by_hand = torch.cat([by_hand, by_hand[..., 5:6]], dim=3)
    assert torch.equal(pad_even(x), by_hand)
    assert torch.equal(net(x, tasks(1)), net(by_hand, tasks(1))[..., :5, :7])


def test_even_sizes_are_not_padded() -> None:
    x = photo(1, 4, 6)
    assert pad_even(x) is x


def test_gates_all_open_change_nothing(net: SuperNetwork) -> None:
    x, t = photo(), tasks()
    assert torch.allclose(net(x, t, all_open()), net(x, t), atol=1e-14)


@torch.no_grad()
def forget(net: SuperNetwork, point: int, channel: int) -> None:
    """Remove a channel by hand: no weight and no bias writes it, or no weight reads it."""
    blocks = NETWORK.blocks
    readers = {1 + 3 * b: net.blocks[b].conv1 for b in range(blocks)} | {3 * blocks + 1: net.tail}
    writers = {2 + 3 * b: net.blocks[b].conv1 for b in range(blocks)}
    writers |= {3 + 3 * b: net.blocks[b].conv2 for b in range(blocks)}
    writers |= {0: net.head, 3 * blocks + 2: net.up}
    if point in readers:
        readers[point].weight[:, channel] = 0  # type: ignore[index, union-attr, operator]
    else:
        writers[point].weight[channel] = 0  # type: ignore[index, union-attr, operator]
        writers[point].bias[channel] = 0  # type: ignore[index, union-attr, operator]


@pytest.mark.parametrize("point", range(NETWORK.points))
def test_a_closed_channel_is_gone_bias_and_all(net: SuperNetwork, point: int) -> None:
    x, t, gates = photo(), tasks(), all_open()
    gates[:, point, 3] = 0
    closed = net(x, t, gates)
    assert not torch.allclose(closed, net(x, t), atol=1e-6)
    forget(net, point, 3)
    assert torch.allclose(closed, net(x, t), atol=1e-13)


def test_everything_closed_leaves_the_input_and_the_last_bias(net: SuperNetwork) -> None:
    x, t = photo(), tasks()
    expected = x + (net.global_scale(t) * net.out.bias)[..., None, None]
    assert torch.allclose(net(x, t, torch.zeros_like(all_open())), expected, atol=1e-13)


def test_each_image_has_its_own_gates(net: SuperNetwork) -> None:
    x, t = photo(), tasks()
    gates = (torch.rand(all_open().shape, generator=seeded(4)) > 0.4).double()
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1], gates[i : i + 1]) for i in range(2)])
    assert torch.allclose(net(x, t, gates), alone, atol=1e-13)


def test_scales_follow_the_task_where_nothing_is_shared(net: SuperNetwork) -> None:
    scales = net.scales(tasks())
    assert scales.shape == (2, NETWORK.blocks, NETWORK.width)
    assert not torch.allclose(scales[0], scales[1])
    assert torch.equal(net.scales(tasks(), shared(0)), scales)


@pytest.mark.parametrize(("count", "fixed"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (9, 2)])
def test_a_shared_block_drops_its_dependence_on_the_task(net: SuperNetwork, count: int, fixed: int) -> None:
    """Block b is shared when its output, point 3 + 3b, is."""
    scales = net.scales(tasks(), shared(count))
    middle = net.local_scale(torch.full((1, 3), MEAN_TASK, dtype=torch.float64)).view(NETWORK.blocks, -1)
    for block in range(NETWORK.blocks):
        if block < fixed:
            assert torch.allclose(scales[:, block], middle[block].expand(2, -1), rtol=1e-14, atol=0)
        else:
            assert torch.equal(scales[:, block], net.scales(tasks())[:, block])


def test_the_global_scale_is_the_control_that_is_left_when_all_is_shared(net: SuperNetwork) -> None:
    x = photo(1).expand(2, -1, -1, -1)
    t = tasks()
    residual = (net(x, t, all_open(), shared(9)) - x) / net.global_scale(t)[..., None, None]
    assert torch.allclose(residual[0], residual[1], atol=1e-12)


def test_weights_are_drawn_from_the_generator() -> None:
    made = [SuperNetwork(NETWORK, seeded(seed)).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(made[0].values(), made[1].values(), strict=True))
    assert not torch.equal(made[0]["head.weight"], made[2]["head.weight"])


def test_a_new_network_is_near_the_identity() -> None:
    x, t = torch.rand(4, 3, 32, 32, generator=seeded()), torch.rand(4, 3, generator=seeded())
    deep = SuperNetwork(NetworkConfig(width=16, blocks=32), seeded())
    assert (deep(x, t) - x).abs().mean() < 0.1


@pytest.mark.parametrize("config", [NETWORK, NetworkConfig(width=64, blocks=1)])
def test_the_convolutions_are_those_that_the_cost_counts(config: NetworkConfig) -> None:
    modules = {n: m for n, m in SuperNetwork(config, seeded()).named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert [(c.name, c.inputs, c.outputs) for c in convolutions(config)] == [
        (name, m.in_channels, m.out_channels) for name, m in modules.items()
    ]
    assert {m.kernel_size for m in modules.values()} == {(3, 3)}
