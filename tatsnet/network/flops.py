"""FLOPs of a dense, a masked or an extracted network (paper eq. 1-4); two per multiply-add, convolutions only.

Shapes: B tasks, N selection points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tatsnet.network.architecture import Architecture, NetworkConfig, convolutions

KERNEL_AREA = 9


def even(size: int) -> int:
    """The size after padding."""
    return size + size % 2


def dense_flops(network: NetworkConfig, height: int, width: int) -> float:
    """FLOPs of the super network on one image, every channel kept.

    Raises:
        ValueError: a size below one pixel.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image has at least one pixel on a side, got {width}x{height}")
    pixels = even(height) * even(width)
    return sum(2.0 * KERNEL_AREA * c.inputs * c.outputs * c.area * pixels for c in convolutions(network))


def controller_flops(network: NetworkConfig, hidden: int) -> float:
    """The auxiliary cost of eq. 2: one pass of the controller's three layers; 0 without a controller."""
    return 2.0 * (3 * hidden + hidden * hidden + hidden * network.points * network.width)


class CostModel:
    """Cost of gate patterns as a share of the dense network's, differentiable in the gates.

    A convolution's cost stands at the selection point that settles whether it is shared (`Conv.shared_from`): the
    channels kept there, times those at the convolution's other end.

    Args:
        network: the super network.
    """

    def __init__(self, network: NetworkConfig, device: torch.device | None = None) -> None:
        convs = convolutions(network)
        dense = sum(c.inputs * c.outputs * c.area for c in convs)
        fixed_N = torch.zeros(network.points, dtype=torch.float64)
        pairs_NN = torch.zeros(network.points, network.points, dtype=torch.float64)
        for conv in convs:
            at = conv.shared_from - 1
            other, channels = (conv.fan_in, conv.inputs) if conv.fan_out == at else (conv.fan_out, conv.outputs)
            if other is None:
                fixed_N[at] += channels * conv.area / dense
            else:
                pairs_NN[other, at] += conv.area / dense
        self._fixed_N = fixed_N.to(device, torch.float32)
        self._pairs_NN = pairs_NN.to(device, torch.float32)

    def _by_point(self, counts_BN: Tensor) -> Tensor:
        """Shares of the dense cost, B x N: each convolution's at the point that settles whether it is shared."""
        dtype = counts_BN.dtype
        return counts_BN * torch.addmm(self._fixed_N.to(dtype), counts_BN, self._pairs_NN.to(dtype))

    def parts(self, counts_BN: Tensor, shared_N: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the dense cost: (task-agnostic part, task-specific part), each of length B.

        Args:
            counts_BN: kept channels per task and selection point.
            shared_N: phi, True where a selection point is task-agnostic.
        """
        cost_BN = self._by_point(counts_BN)
        once_N = shared_N.to(cost_BN.dtype)
        return cost_BN @ once_N, cost_BN @ (1 - once_N)

    def resource(self, counts_BN: Tensor, shared_N: Tensor, effects: int) -> Tensor:
        """R1: eq. 4 as a share of the dense cost, averaged over the batch's tasks; the shared part counts 1/M."""
        paid_N = 1 - (1 - 1 / effects) * shared_N.to(counts_BN.dtype)
        return self._by_point(counts_BN).mean(0) @ paid_N


@dataclass(frozen=True, kw_only=True)
class EffectCost:
    """FLOPs of a found network on one image.

    Attributes:
        shared: of the task-agnostic part, once per image.
        specific: of the task-specific part, mean over the architecture's tasks.
        auxiliary: of the controller, per effect.
        dense: of the super network, per effect.
        effects: M.
    """

    shared: float
    specific: float
    auxiliary: float
    dense: float
    effects: int

    @property
    def per_effect(self) -> float:
        """Eq. 4: average FLOPs per effect when `effects` are made of one image (eq. 2 when nothing is shared)."""
        return self.shared / self.effects + self.specific + self.auxiliary

    @property
    def ratio(self) -> float:
        """Per effect, as a share of dense (eq. 1)."""
        return self.per_effect / self.dense


def specific_flops(architecture: Architecture, height: int, width: int) -> tuple[float, tuple[float, ...]]:
    """FLOPs of the shared part, and of each pattern's task-specific part, on one image."""
    dense = dense_flops(architecture.network, height, width)
    counts = [[float(len(kept)) for kept in pattern] for pattern in architecture.patterns]
    shared_N = torch.arange(architecture.network.points) < architecture.shared
    once, each = CostModel(architecture.network).parts(torch.tensor(counts, dtype=torch.float64), shared_N)
    return dense * float(once[0]), tuple(dense * float(share) for share in each)


def effect_cost(architecture: Architecture, height: int, width: int, effects: int) -> EffectCost:
    """Average cost per effect of a found network by eq. 1-4, the expectation over its tasks.

    Raises:
        ValueError: fewer than one effect, or a size below one pixel.
    """
    if effects < 1:
        raise ValueError(f"effects must be at least 1, got {effects}")
    shared, by_pattern = specific_flops(architecture, height, width)
    specific = sum(by_pattern[index] for _, index in architecture.tasks) / len(architecture.tasks)
    return EffectCost(
        shared=shared,
        specific=specific,
        auxiliary=controller_flops(architecture.network, architecture.controller_hidden),
        dense=dense_flops(architecture.network, height, width),
        effects=effects,
    )
