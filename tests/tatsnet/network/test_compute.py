"""Precision of a training, and the forms of a block that a GPU is given: the same network each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.compute import EXACT, Compute, cast
from tatsnet.network.gated_blocks import gated_block, gated_blocks, gated_blocks_by_kernels
from tatsnet.network.supernet import SuperNetwork
from tatsnet.network.tasks import LEVELS, onset

CONFIG = NetworkConfig(width=8, blocks=3)
HALF = Compute(torch.bfloat16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=seeded(seed))


def gradients(network: SuperNetwork, gates: Tensor | None, compute: Compute) -> tuple[Tensor, list[Tensor]]:
    network.zero_grad()
    gates = None if gates is None else gates.clone().requires_grad_()
    shared = None if gates is None else torch.arange(CONFIG.points) < 4
    restored = network(rand(4, 3, 16, 16), rand(4, 3, seed=1), gates, shared, compute)
    ((restored - rand(4, 3, 16, 16, seed=2)) ** 2).mean().backward()
    made = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    return restored.detach(), made if gates is None or gates.grad is None else [*made, gates.grad]


@pytest.mark.parametrize("gated", [False, True])
def test_bfloat16_is_float32_within_its_precision_and_keeps_float32_gradients(gated: bool) -> None:
    network = SuperNetwork(CONFIG, seeded())
    gates = (rand(4, CONFIG.points, CONFIG.width, seed=3) > 0.4).float() if gated else None
    exact, wanted = gradients(network, gates, EXACT)
    half, found = gradients(network, gates, HALF)
    assert half.dtype == torch.float32
    assert not torch.equal(exact, half)
    assert float((exact - half).abs().max()) < 2e-3
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).norm() / b.norm()) < 0.25


def test_blocks_for_a_gpu_are_the_blocks_for_a_cpu() -> None:
    """What is compiled for a GPU, not compiled: output and every gradient, those of closed gates too."""
    blocks, width = CONFIG.blocks, CONFIG.width
    leaves = [rand(4, width, 8, 8), rand(4, 3 * blocks + 2, width, seed=1).round(), rand(4, blocks, width, seed=2)]
    flat = [t for i in range(2 * blocks) for t in (rand(width, width, 3, 3, seed=5 + i) - 0.5, rand(width, seed=i))]

    def run(form: object) -> list[Tensor]:
        inputs = [leaf.clone().requires_grad_() for leaf in [*leaves, *flat]]
        stream, gates, scales, *weights = inputs
        convolutions = list(zip(weights[::2], weights[1::2], strict=True))
        made = form(stream, gates, scales, convolutions)  # type: ignore[operator]
        (made * rand(4, width, 8, 8, seed=9)).sum().backward()
        return [made.detach(), *(leaf.grad for leaf in inputs if leaf.grad is not None)]

    def by_kernels(*args: object) -> Tensor:
        return gated_blocks_by_kernels(*args, block=gated_block)  # type: ignore[arg-type]

    ours, theirs = run(gated_blocks), run(by_kernels)
    assert len(ours) == len(theirs) == 4 + len(flat)
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).abs().max()) <= 1e-4 * float(b.abs().max())


def test_cast_copies_at_once_and_hands_gradients_back() -> None:
    tensors = [rand(3, 4).requires_grad_(), rand(5, seed=1).requires_grad_()]
    made = cast(tensors, torch.bfloat16)
    assert [m.dtype for m in made] == [torch.bfloat16] * 2
    assert all(torch.equal(m, t.bfloat16()) for m, t in zip(made, tensors, strict=True))
    (made[0].sum() * 2 + made[1].sum() * 3).backward()
    assert all(float(t.grad.min()) == scale for t, scale in zip(tensors, (2, 3), strict=True) if t.grad is not None)
    assert cast(tensors, torch.float32) is tensors


@pytest.mark.parametrize("gated", [False, True])
def test_task_zero_leaves_any_image_as_it_is(gated: bool) -> None:
    gates = torch.ones(2, CONFIG.points, CONFIG.width) if gated else None
    image, nothing = rand(2, 3, 15, 18), torch.zeros(2, 3)
    assert torch.equal(SuperNetwork(CONFIG, seeded())(image, nothing, gates), image)
    learned = SuperNetwork(replace(CONFIG, zero_task="learned"), seeded())
    assert not torch.equal(learned(image, nothing, gates), image)


def test_every_other_level_of_the_grid_is_as_the_paper_has_it() -> None:
    """So that weights of the paper's form stay what they are: only tasks below the first level differ."""
    tasks = torch.stack([torch.eye(3)[axis] * level / LEVELS[axis] for axis in range(3) for level in range(1, 40)])
    assert torch.allclose(onset(tasks), torch.ones(len(tasks), 1), atol=1e-6)
    network, learned = (SuperNetwork(replace(CONFIG, zero_task=z), seeded()) for z in ("identity", "learned"))  # type: ignore[arg-type]
    image = rand(len(tasks), 3, 8, 8)
    assert torch.allclose(network(image, tasks), learned(image, tasks), atol=1e-6)
    small = torch.tensor([[0.0, 0.01, 0.0]])
    assert float(onset(small)) == pytest.approx(0.5)
