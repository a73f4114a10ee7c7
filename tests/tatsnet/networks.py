"""Frozen masked networks with gates that open and close by chance, for the tests of extraction and of what follows."""

from __future__ import annotations

import torch
from torch import Tensor

from tatsnet.method.masked import CONSENSUS_TASKS, MaskedNetwork
from tatsnet.method.settings import MethodConfig
from tatsnet.network.architecture import NetworkConfig

TINY = NetworkConfig(width=8, blocks=2)
HIDDEN = 24

DEAD, SPARSE, HALF, OPEN = -30.0, -0.3, 0.3, 30.0
"""Preferences to set gates about: no channel open, few, many, all."""


def frozen_network(
    shared: int,
    preference: float = HALF,
    *,
    network: NetworkConfig = TINY,
    min_channels: int = 0,
    prune: bool = True,
    group: int = 1,
    tied: bool = False,
    seed: int = 0,
) -> MaskedNetwork:
    """A masked network with random weights, biases and scales, whose first `shared` selection points are shared."""
    generator = torch.Generator().manual_seed(seed)
    method = MethodConfig(
        min_channels=min_channels,
        controller_hidden=HIDDEN,
        prune=prune,
        group=group,
        tied=tied,
        shared_points=shared,
    )
    model = MaskedNetwork(network, method, gamma=0.5, sharing=True, generator=generator)
    with torch.no_grad():
        weight, bias = list(model.controller.parameters())[-2:]
        weight.mul_(4)
        bias.copy_(preference + 0.3 * torch.randn(bias.shape, generator=generator))
        for weight in model.supernet.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    model.freeze(some_tasks(generator))
    return model


def some_tasks(generator: torch.Generator) -> Tensor:
    """Tasks for a consensus, uniform."""
    return torch.rand(CONSENSUS_TASKS, 3, generator=generator)


def random_tasks(count: int, seed: int = 0) -> list[tuple[float, float, float]]:
    """Task vectors that are not on the grid."""
    drawn = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [(a, b, c) for a, b, c in drawn.tolist()]
