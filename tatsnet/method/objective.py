"""The search's objective: L1 + lambda1 R1 + lambda2 R2 (paper eq. 11), and its four variants (section 4).

Shapes: B batch, N selection points, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from tatsnet.method.masked import Gates
from tatsnet.network.flops import CostModel


class Variant(Enum):
    """The four methods of Table 2: with or without a shared part, absolute or relative (-m) ground truth."""

    TS = "TSNet"
    TA_TS = "TA+TSNet"
    TS_M = "TSNet-m"
    TA_TS_M = "TA+TSNet-m"

    @property
    def shares(self) -> bool:
        """Whether a task-agnostic part is searched."""
        return self in (Variant.TA_TS, Variant.TA_TS_M)

    @property
    def relative(self) -> bool:
        """Whether the ground truth is relative (Figure 4b)."""
        return self in (Variant.TS_M, Variant.TA_TS_M)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The weights of eq. 11.

    Args:
        variant: which method.
        lambda1: weight of R1, the FLOPs of eq. 4 as a share of the dense network's; at least 0.
        lambda2: weight of R2, mean over tasks and channels, summed over selection points; at least 0.
        gamma: threshold of eq. 8 and 10, in (0, 1).

    Raises:
        ValueError: a weight out of its range.
    """

    variant: Variant
    lambda1: float
    lambda2: float
    gamma: float

    def __post_init__(self) -> None:
        for name in ("lambda1", "lambda2"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and at least 0, got {value}")
        if not 0 < self.gamma < 1:
            raise ValueError(f"gamma must be in (0, 1), got {self.gamma}")


class Loss(NamedTuple):
    """The terms of eq. 11, scalars: their weighted sum, L1, R1 (share of dense), R2."""

    total: Tensor
    l1: Tensor
    r1: Tensor
    r2: Tensor


def disagreement(gates: Gates) -> Tensor:
    """R2 of eq. 12: how far the tasks' gates are from the agnostic ones, at points whose predecessor is shared.

    The mean over tasks and channels in place of the sum, so that it does not change with width and batch.
    """
    apart_N = (gates.task_BNC - gates.agnostic_NC).abs().mean(dim=(0, 2))
    before_N = torch.cat([gates.shared_N.new_ones(1), gates.shared_N[:-1]])
    return apart_N @ before_N.to(apart_N.dtype)


def search_loss(
    objective: Objective, restored_BCHW: Tensor, target_BCHW: Tensor, gates: Gates, cost: CostModel, effects: int
) -> Loss:
    """Eq. 11 on one batch; R2 counts only for variants that share."""
    l1 = (restored_BCHW - target_BCHW).abs().mean()
    r1 = cost.resource(gates.effective_BNC.sum(-1), gates.shared_N, effects)
    r2 = disagreement(gates) if objective.variant.shares else torch.zeros_like(l1)
    return Loss(l1 + objective.lambda1 * r1 + objective.lambda2 * r2, l1, r1, r2)
