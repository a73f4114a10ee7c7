"""The network during a search: super network, controller and consensus together (paper section 3.2, Figure 3).

Shapes: B batch, N selection points, C channels, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tatsnet.method.gates import Consensus, Controller, open_channels, own_gates, section, tie
from tatsnet.method.settings import MethodConfig
from tatsnet.network.architecture import Architecture, NetworkConfig, Pattern, canonical, gather
from tatsnet.network.supernet import SuperNetwork

CONSENSUS_TASKS = 2048
"""How many tasks `freeze` is to be given."""


class Phase(Enum):
    """What a training step does to the architecture."""

    OPEN = "open"
    SPECIFIC = "specific"
    JOINT = "joint"
    FROZEN = "frozen"


class Gates(NamedTuple):
    """The gates of one step: g(z^s) (B x N x C), g(z^a) (N x C), phi (N booleans), and what the network uses of them.

    The effective ones (B x N x C) are g(z^a) where shared and g(z^s) elsewhere, or a tied section's.
    """

    task_BNC: Tensor
    agnostic_NC: Tensor
    shared_N: Tensor
    effective_BNC: Tensor


class MaskedNetwork(nn.Module):
    """A super network whose channels a controller opens and closes; nothing is physically removed.

    Args:
        network: size of the super network.
        method: what the method leaves open.
        gamma: threshold of eq. 8 and 10.
        sharing: False is TSNet (phi = 0), True searches phi (TA+TSNet), unless `method.shared_points` fixes it.
        generator: draws the weights.

    Raises:
        ValueError: a group of channels that does not divide the width.
    """

    fixed_shared_N: Tensor
    is_frozen: Tensor

    def __init__(
        self,
        network: NetworkConfig,
        method: MethodConfig,
        *,
        gamma: float,
        sharing: bool,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if network.width % method.group:
            raise ValueError(f"group {method.group} does not divide the network's width {network.width}")
        self.network, self.method = network, method
        self.supernet = SuperNetwork(network, generator)
        self.controller = Controller(network, method.controller_hidden, generator)
        self.consensus = Consensus(network, gamma, method.ema)
        fixed = method.shared_points if method.shared_points is not None else (None if sharing else 0)
        self.searches_sharing = fixed is None
        self.register_buffer("fixed_shared_N", self._section(torch.arange(network.points) < (fixed or 0)))
        self.register_buffer("is_frozen", torch.tensor(False))

    def forward(self, image_BCHW: Tensor, task_BD: Tensor) -> Tensor:
        """Restore with the frozen architecture; B x 3 x H x W in [0, 1], not clamped after.

        Raises:
            RuntimeError: the architecture is not frozen yet.
        """
        self.require_frozen()
        gates = self.gates(task_BD, Phase.FROZEN)
        restored: Tensor = self.supernet(image_BCHW, task_BD, gates.effective_BNC, gates.shared_N)
        return restored

    def require_frozen(self) -> None:
        """Raise RuntimeError if the architecture is not frozen yet."""
        if not self.is_frozen:
            raise RuntimeError("the architecture is not frozen: call freeze() when the search has ended")

    def gates(self, task_BD: Tensor, phase: Phase) -> Gates:
        """The gates of a batch of tasks; in the JOINT and SPECIFIC phases the consensus moves (eq. 6-10)."""
        preference = self.controller(task_BD)
        if not self.method.prune:
            preference = torch.ones_like(preference)
        searched = phase is not Phase.FROZEN
        agnostic_preference = self.consensus.gather(preference) if searched else self.consensus.preference_NC
        gates = open_channels(torch.cat([preference, agnostic_preference[None]]), self.method)
        task, common = gates.split_with_sizes([len(preference), 1])
        agnostic = common.squeeze(0)
        shared = self._search_shared(task, agnostic, phase) if searched else self.fixed_shared_N
        if self.method.tied:
            effective = self._tied(preference, agnostic_preference, shared)
        else:
            effective = torch.lerp(task, agnostic, shared[:, None].to(task.dtype))
        return Gates(task, agnostic, shared, effective)

    def _tied(self, preference_BNC: Tensor, agnostic_preference_NC: Tensor, shared_N: Tensor) -> Tensor:
        part_N = section(shared_N)
        common_NC = open_channels(tie(agnostic_preference_NC, part_N), self.method)
        own_BNC = own_gates(preference_BNC, part_N, common_NC[0], self.method)
        return torch.where(part_N[:, None], common_NC, own_BNC)

    def _search_shared(self, task_BNC: Tensor, agnostic_NC: Tensor, phase: Phase) -> Tensor:
        if phase is not Phase.JOINT:
            return torch.zeros_like(self.fixed_shared_N)
        if not self.searches_sharing:
            return self.fixed_shared_N
        self.consensus.accumulate(self.consensus.agree(task_BNC, agnostic_NC))
        return self.consensus.shared() & self._may_share()

    def _section(self, shared_N: Tensor) -> Tensor:
        return section(shared_N) if self.method.tied else shared_N

    def _may_share(self) -> Tensor:
        limit = self.network.points - self.method.specific_points
        return torch.arange(self.network.points, device=self.fixed_shared_N.device) < limit

    @torch.no_grad()
    def freeze(self, task_BD: Tensor) -> None:
        """End the search: z^a becomes the mean preference over tasks, phi its slow average, both for good.

        Args:
            task_BD: some thousand tasks as the training sees them (`draw_tasks`).
        """
        tasks = task_BD.to(self.consensus.preference_NC)
        mean = torch.stack([self.controller(part).mean(0) for part in tasks.chunk(8)]).mean(0)
        self.consensus.preference_NC.copy_(mean if self.method.prune else torch.ones_like(mean))
        if self.searches_sharing:
            self.fixed_shared_N.copy_(self._section(self.consensus.final_shared() & self._may_share()))
        self.is_frozen.fill_(True)
        self.controller.requires_grad_(False)

    @property
    def shared(self) -> int:
        """Leading selection points that are task-agnostic."""
        return int(self.fixed_shared_N.sum())

    @torch.no_grad()
    def patterns(self, tasks: Sequence[Sequence[float]]) -> list[Pattern]:
        """The canonical gate pattern of each task under the frozen architecture."""
        task_BD = torch.tensor(tasks, dtype=next(self.parameters()).dtype, device=self.fixed_shared_N.device)
        gates = self.gates(task_BD, Phase.FROZEN).effective_BNC
        return [canonical(self.network, to_pattern(gates_NC), self.shared) for gates_NC in gates]

    def architecture(self, tasks: Sequence[tuple[float, ...]]) -> Architecture:
        """The found architecture, with a pattern for each of the given tasks."""
        by_task = list(zip(tasks, self.patterns(tasks), strict=True))
        return gather(self.network, self.shared, by_task, self.method.controller_hidden)


def to_pattern(gates_NC: Tensor) -> Pattern:
    """The open channels at every selection point."""
    return tuple(tuple(row.nonzero().flatten().tolist()) for row in gates_NC.cpu())
