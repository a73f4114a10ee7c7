"""Gate (eq. 5), architecture controller (eq. 6) and the consensus of tasks (eq. 7-10) of paper section 3.2.

Beyond the paper: channels may open and close in groups, and a section may keep one set of the skip stream's channels
(`GateRule`).

Shapes: B tasks of a batch (the paper's M), N selection points, C channels, D degradation types (3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tatsnet.method.settings import GateRule
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.tasks import AXES

SLOW = 0.1
"""The slow average of s, from which the final phi is read, moves so much slower than s."""


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, preference: Tensor, least: int) -> Tensor:
        ctx.save_for_backward(preference)
        on = preference > 0
        if least > 0:
            # topk is slow: only where channels are missing, unless a GPU would have to wait for the answer
            short = on.sum(-1) < least if on.is_cpu else ...
            few = preference[short]
            if len(few):
                on[short] |= few >= few.topk(min(least, few.shape[-1]), dim=-1).values[..., -1:]
        return on.to(preference.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (preference,) = ctx.saved_tensors
        return torch.ops.aten.sigmoid_backward.default(grad, preference.sigmoid()), None


def gate(preference: Tensor, min_channels: int = 0) -> Tensor:
    """Eq. 5: 1 where the preference is above 0, else 0; the gradient is the sigmoid's.

    Args:
        preference: z, any shape, channels last.
        min_channels: so many channels of the highest preference stay open whatever their sign (ties too).
    """
    gates: Tensor = _Gate.apply(preference, min_channels)  # type: ignore[no-untyped-call]
    return gates


def open_channels(preference: Tensor, rule: GateRule) -> Tensor:
    """The gates of preferences under a rule: eq. 5, of groups of channels by the mean preference of each.

    Args:
        preference: z, any shape, channels last; the group divides their number.
    """
    if rule.group == 1:
        return gate(preference, rule.min_channels)
    gates = gate(preference.view(*preference.shape[:-1], -1, rule.group).mean(-1), rule.least_groups)
    return gates[..., None].expand(*gates.shape, rule.group).flatten(-2)


def section(shared_N: Tensor) -> Tensor:
    """The shared section of a tied network, N booleans: phi, less a block's input that is shared without its middle.

    Nothing is computed once for such an input; it would only keep the task-specific section from one set of channels.
    """
    part = shared_N.clone()
    part[1:-2:3] &= shared_N[2:-1:3]
    return part


def _on_stream(like_N: Tensor) -> Tensor:
    """Which selection points select the skip stream's channels: all but a block's middle and the output of up."""
    return torch.arange(len(like_N), device=like_N.device) % 3 != 2


def tie(preference: Tensor, members_N: Tensor) -> Tensor:
    """Preferences, ... x N x C, with the mean over the skip stream's points among `members_N` at each of them."""
    tied_N = members_N & _on_stream(members_N)
    weight_N1 = tied_N.to(preference.dtype)[:, None]
    mean = (preference * weight_N1).sum(-2, keepdim=True) / weight_N1.sum().clamp(min=1)
    return torch.where(tied_N[:, None], mean, preference)


def own_gates(preference_BNC: Tensor, shared_N: Tensor, offered_C: Tensor, rule: GateRule) -> Tensor:
    """The gates of the tasks' own sections, B x N x C; at the shared section's points they mean nothing.

    A tied section keeps some of the stream's channels that the shared one hands on, so that none is ever added.

    Args:
        preference_BNC: z^s.
        shared_N: True at the points of the shared section.
        offered_C: gates of the stream in the shared section; they count where there is one.
    """
    if not rule.tied:
        return open_channels(preference_BNC, rule)
    tied_BNC = tie(preference_BNC, ~shared_N)
    withheld_NC = (_on_stream(shared_N) & ~shared_N & shared_N[0])[:, None] & (offered_C == 0)
    return open_channels(tied_BNC.masked_fill(withheld_NC, -torch.inf), rule)


class Controller(nn.Module):
    """Eq. 6: three fully connected layers from a task vector to the preference on every channel.

    The last bias starts at 1: every channel is open.
    """

    def __init__(self, network: NetworkConfig, hidden: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = (network.points, network.width)
        sizes = (len(AXES), hidden, hidden, network.points * network.width)
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
    """

    preference_NC: Tensor
    agreement_N: Tensor
    slow_N: Tensor
    slow_weight: Tensor

    def __init__(self, network: NetworkConfig, gamma: float, ema: float) -> None:
        super().__init__()
        self.gamma, self.ema = gamma, ema
        self.register_buffer("preference_NC", torch.zeros(network.points, network.width))
        self.register_buffer("agreement_N", torch.zeros(network.points))
        self.register_buffer("slow_N", torch.zeros(network.points))
        self.register_buffer("slow_weight", torch.zeros(()))

    def gather(self, preference_BNC: Tensor) -> Tensor:
        """Eq. 7: move z^a towards the batch's mean preference; the gradient flows through the batch's share."""
        moved = torch.lerp(self.preference_NC, preference_BNC.mean(0), self.ema)
        self.preference_NC.copy_(moved.detach())
        return moved

    @torch.no_grad()
    def agree(self, task_BNC: Tensor, agnostic_NC: Tensor) -> Tensor:
        """Eq. 8: at which points the tasks of a batch keep what z^a keeps; N booleans.

        Args:
            task_BNC, agnostic_NC: the gates g(z^s) and g(z^a).
        """
        return (task_BNC * agnostic_NC).sum(-1).mean(0) >= self.gamma * agnostic_NC.sum(-1)

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
    return holds_N.cummin(0).values
