"""A section of an extracted network: the steps of its plan, with the weights that were sliced for it.

Shapes: D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import Layer, SectionPlan
from tatsnet.runtimes.torch.layers import Enter, Extend, Head, Leave, Out, State, Tail, Take, Up


class Section(nn.Module):
    """Consecutive convolutions: the task-agnostic part, or one pattern's task-specific part.

    Args:
        plan: of the section.
        tensors: what `slice_section` gave for it.
        layout: of the stream in memory: plane by plane (contiguous), or pixel by pixel (channels last).
    """

    def __init__(
        self,
        plan: SectionPlan,
        tensors: Mapping[str, Tensor],
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self._layout = layout
        self.channels = plan.live
        self.steps = nn.ModuleList()
        if plan.takes_some:
            device = next(iter(tensors.values())).device
            self.steps.append(Take(torch.tensor(plan.take, dtype=torch.int64, device=device), layout))
        room = plan.room
        for layer in plan.layers:
            if layer.role is not Role.HEAD and room:
                self.steps.append(Extend(room, layout))
                room = 0
            self.steps.append(self._step(layer, tensors))

    def _step(self, layer: Layer, tensors: Mapping[str, Tensor]) -> nn.Module:
        weight, bias = tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"]
        weight = weight.contiguous(memory_format=self._layout)
        places = None if layer.whole else torch.tensor(layer.stream, dtype=torch.int64, device=weight.device)
        match layer.role:
            case Role.HEAD:
                return Head(weight, bias, self._layout)
            case Role.ENTER:
                return Enter(weight, bias, places, self._layout)
            case Role.LEAVE:
                scale = None
                if f"{layer.name}.scale_weight" in tensors:
                    scale = tensors[f"{layer.name}.scale_weight"], tensors[f"{layer.name}.scale_bias"]
                return Leave(weight, bias, places, scale)
            case Role.TAIL:
                return Tail(weight, bias, places)
            case Role.UP:
                return Up(weight, bias)
            case Role.OUT:
                return Out(weight, bias)

    def forward(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions; `task_D` moves the residual scales of a task-specific part only."""
        for step in self.steps:
            state = step(state, task_D)
        return state
