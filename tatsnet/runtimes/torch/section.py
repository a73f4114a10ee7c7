"""A section of an extracted network: the steps of consecutive convolutions, with the weights that were sliced for it.

Shapes: D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.network.slicing import travelling, used_channels
from tatsnet.runtimes.torch.layers import Enter, Extend, Head, Leave, Out, State, Tail, Take, Up


class Section(nn.Module):
    """Consecutive convolutions: the task-agnostic part, or one pattern's task-specific part.

    Args:
        convs: of this section, first to last; may be none.
        pattern: the kept channels.
        incoming: the stream's channels before this section, in the order in which they travel.
        tensors: what `slice_section` gave for it.
        layout: of the stream in memory: plane by plane (contiguous), or pixel by pixel (channels last).
    """

    def __init__(
        self,
        convs: Sequence[Conv],
        pattern: Pattern,
        incoming: Channels,
        tensors: Mapping[str, Tensor],
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self._layout = layout
        self.steps = nn.ModuleList()
        used = used_channels(convs, pattern)
        useful = tuple(channel for channel in incoming if channel in used)
        if len(useful) < len(incoming) and any(conv.role is Role.TAIL for conv in convs):
            places = [incoming.index(channel) for channel in useful]
            device = next(iter(tensors.values())).device
            self.steps.append(Take(torch.tensor(places, dtype=torch.int64, device=device), layout))
            incoming = useful
        self.channels = travelling(convs, pattern, incoming)
        head = travelling(convs[:1], pattern) if convs and convs[0].name == "head" else ()
        room = len(self.channels) - len(incoming) - len(head)
        for conv in convs:
            if conv.role is not Role.HEAD and room:
                self.steps.append(Extend(room, layout))
                room = 0
            if not (conv.role is Role.LEAVE and not pattern[conv.fan_out or 0]):
                self.steps.append(self._step(conv, pattern, tensors))

    def _step(self, conv: Conv, pattern: Pattern, tensors: Mapping[str, Tensor]) -> nn.Module:
        weight, bias = tensors[f"{conv.name}.weight"], tensors[f"{conv.name}.bias"]
        weight = weight.contiguous(memory_format=self._layout)
        if conv.role is Role.HEAD:
            return Head(weight, bias, self._layout)
        if conv.role in (Role.UP, Role.OUT):
            return {"up": Up, "out": Out}[conv.name](weight, bias)
        if not conv.writes_stream:
            take = self._places(pattern[conv.fan_in or 0], weight)
            return Tail(weight, bias, take) if conv.role is Role.TAIL else Enter(weight, bias, take, self._layout)
        scale = None
        if f"{conv.name}.scale_weight" in tensors:
            scale = tensors[f"{conv.name}.scale_weight"], tensors[f"{conv.name}.scale_bias"]
        return Leave(weight, bias, self._places(pattern[conv.fan_out or 0], weight), scale)

    def _places(self, channels: Channels, like: Tensor) -> Tensor | None:
        if channels == self.channels:
            return None
        place = {channel: index for index, channel in enumerate(self.channels)}
        return torch.tensor([place[channel] for channel in channels], dtype=torch.int64, device=like.device)

    def forward(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions; `task_D` moves the residual scales of a task-specific part only."""
        for step in self.steps:
            state = step(state, task_D)
        return state
