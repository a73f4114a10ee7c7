"""FLOPs of a dense, a masked or an extracted network (paper eq. 1-4); two per multiply-add, convolutions only.

Shapes: B tasks, N selection points, K convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tatsnet.architecture import Architecture, NetworkConfig, convolutions

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

    Args:
        network: the super network.
    """

    def __init__(self, network: NetworkConfig, device: torch.device | None = None) -> None:
        convs = convolutions(network)
        fixed = sorted({c.inputs for c in convs if c.fan_in is None} | {c.outputs for c in convs if c.fan_out is None})
        column = {count: network.points + i for i, count in enumerate(fixed)}
        weight = torch.tensor([c.area for c in convs], dtype=torch.float64)
        weight /= sum(c.inputs * c.outputs * c.area for c in convs)
        self._fixed = torch.tensor(fixed, dtype=torch.float32, device=device)
        ins = [column[c.inputs] if c.fan_in is None else c.fan_in for c in convs]
        outs = [column[c.outputs] if c.fan_out is None else c.fan_out for c in convs]
        chosen = torch.eye(network.points + len(fixed), device=device)
        self._ins, self._outs = chosen[:, ins], chosen[:, outs]
        self._last = torch.tensor([c.shared_from - 1 for c in convs], device=device)
        self._weight = weight.to(torch.float32).to(device)

    def parts(self, counts_BN: Tensor, shared_N: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the dense cost: (task-agnostic part, task-specific part), each of length B.

        Args:
            counts_BN: kept channels per task and selection point.
            shared_N: phi, True where a selection point is task-agnostic.
        """
        counts = torch.cat([counts_BN, self._fixed.to(counts_BN.dtype).expand(len(counts_BN), -1)], dim=1)
        inputs_BK, outputs_BK = counts @ self._ins.to(counts.dtype), counts @ self._outs.to(counts.dtype)
        cost_BK = inputs_BK * outputs_BK * self._weight.to(counts_BN.dtype)
        once_K = shared_N[self._last].to(cost_BK.dtype)
        return cost_BK @ once_K, cost_BK @ (1 - once_K)

    def resource(self, counts_BN: Tensor, shared_N: Tensor, effects: int) -> Tensor:
        """R1: eq. 4 as a share of the dense cost, averaged over the batch's tasks; the shared part counts 1/M."""
        once, each = self.parts(counts_BN, shared_N)
        return (once / effects + each).mean()


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
