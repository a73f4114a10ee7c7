"""Gate (eq. 5), architecture controller (eq. 6) and the consensus of tasks (eq. 7-10) of paper section 3.2.

Shapes: B tasks of a batch (the paper's M), N selection points, C channels, D degradation types (3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tatsnet.architecture import NetworkConfig

SLOW = 0.1
"""The slow average of s, from which the final phi is read, moves so much slower than s."""


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, preference: Tensor, least: int) -> Tensor:
        ctx.save_for_backward(preference)
        on = preference > 0
        if least > 0:
            on |= preference >= preference.topk(min(least, preference.shape[-1]), dim=-1).values[..., -1:]
        return on.to(preference.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (preference,) = ctx.saved_tensors
        open_share = torch.sigmoid(preference)
        return grad * open_share * (1 - open_share), None


def gate(preference: Tensor, min_channels: int = 0) -> Tensor:
    """Eq. 5: 1 where the preference is above 0, else 0; the gradient is the sigmoid's.

    Args:
        preference: z, any shape, channels last.
        min_channels: so many channels of the highest preference stay open whatever their sign (ties too).
    """
    gates: Tensor = _Gate.apply(preference, min_channels)  # type: ignore[no-untyped-call]
    return gates


class Controller(nn.Module):
    """Eq. 6: three fully connected layers from a task vector to the preference on every channel.

    The last bias starts at 1: every channel is open.
    """

    def __init__(self, network: NetworkConfig, hidden: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = (network.points, network.width)
        sizes = (3, hidden, hidden, network.points * network.width)
        layers = [nn.Linear(sizes[i], sizes[i + 1]) for i in range(3)]
        for layer in layers:
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
            nn.init.uniform_(layer.bias, -(layer.in_features**-0.5), layer.in_features**-0.5, generator=generator)
        nn.init.ones_(layers[-1].bias)
        self.layers = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def forward(self, task_BD: Tensor) -> Tensor:
        """Preferences z^s, B x N x C."""
        preference: Tensor = self.layers(task_BD).view(-1, *self.shape)
        return preference


class Consensus(nn.Module):
    """What the tasks agree on, gathered over the training.

    Args:
        network: gives N and C.
        gamma: threshold of eq. 8 and 10, in (0, 1).
        ema: weight of the new batch in eq. 7 and 9.
        min_channels: as in `gate`.
    """

    preference_NC: Tensor
    agreement_N: Tensor
    slow_N: Tensor
    slow_weight: Tensor

    def __init__(self, network: NetworkConfig, gamma: float, ema: float, min_channels: int) -> None:
        super().__init__()
        self.gamma, self.ema, self.min_channels = gamma, ema, min_channels
        self.register_buffer("preference_NC", torch.zeros(network.points, network.width))
        self.register_buffer("agreement_N", torch.zeros(network.points))
        self.register_buffer("slow_N", torch.zeros(network.points))
        self.register_buffer("slow_weight", torch.zeros(()))

    def gather(self, preference_BNC: Tensor) -> Tensor:
        """Eq. 7: move z^a towards the batch's mean preference; the gradient flows through the batch's share."""
        moved = (1 - self.ema) * self.preference_NC.detach() + self.ema * preference_BNC.mean(0)
        self.preference_NC.copy_(moved.detach())
        return moved

    @torch.no_grad()
    def agree(self, preference_BNC: Tensor) -> Tensor:
        """Eq. 8: at which points the tasks of a batch keep what z^a keeps; N booleans."""
        task = gate(preference_BNC, self.min_channels)
        agnostic = gate(self.preference_NC, self.min_channels)
        return (task * agnostic).sum(-1).mean(0) >= self.gamma * agnostic.sum(-1)

    @torch.no_grad()
    def accumulate(self, agreed_N: Tensor) -> None:
        """Eq. 9, and a slower average of the same with its bias corrected."""
        agreed = agreed_N.to(self.agreement_N.dtype)
        self.agreement_N.lerp_(agreed, self.ema)
        self.slow_N.lerp_(agreed, SLOW * self.ema)
        self.slow_weight.lerp_(torch.ones_like(self.slow_weight), SLOW * self.ema)

    def shared(self) -> Tensor:
        """Eq. 10: phi, N booleans, True up to the first point without consensus."""
        return prefix(self.agreement_N > self.gamma)

    def final_shared(self) -> Tensor:
        """Phi from the slow average: not the last batch's chance."""
        return prefix(self.slow_N > self.gamma * self.slow_weight)


def prefix(holds_N: Tensor) -> Tensor:
    """True up to the first False."""
    return holds_N.to(torch.int64).cumprod(0).bool()
