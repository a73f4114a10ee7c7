"""A section as calls of the kernels; it equals `Section` of the same arguments.

Two convolutions with nothing between them but a ReLU are one call where they are narrow enough: a block that reads and
writes every channel of its stream, and up with out. Shapes: D degradation types (3), O a convolution's kept outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.network.slicing import travelling, used_channels
from tatsnet.runtimes.torch.layers import State
from tatsnet.runtimes.triton import layers as steps
from tatsnet.runtimes.triton.calls import Launch
from tatsnet.runtimes.triton.operations import Packed, pack
from tatsnet.runtimes.triton.tiles import PAIRED, block_out

Step = Callable[[steps.Now], steps.Now]


class FusedSection:
    """Consecutive convolutions, run by the kernels.

    Args:
        convs, pattern, incoming, tensors: as of `Section`.
        device: where it runs.
        precision: of weights, stream and products; sums and scales are float32.
        launch: runs a kernel there.
    """

    def __init__(
        self,
        convs: Sequence[Conv],
        pattern: Pattern,
        incoming: Channels,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        precision: torch.dtype,
        launch: Launch,
    ) -> None:
        self._precision = precision
        plan = Plan(convs, pattern, incoming, tensors, device, precision, launch)
        self._steps = plan.steps
        self._scale_weight, self._scale_bias, self._widths = plan.scales()

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions."""
        image, stream, hidden = (tensor.permute(0, 2, 3, 1) for tensor in state[:3])
        stream, hidden = (tensor.contiguous().to(self._precision) for tensor in (stream, hidden))
        now = steps.Now(image, stream, hidden, state.owned, self._scales(task_D))
        for step in self._steps:
            now = step(now)
        stream, hidden = (tensor.permute(0, 3, 1, 2) for tensor in (now.stream_BHWC, now.hidden_BHWC))
        return State(state.image_BCHW, stream, hidden, now.owned)

    def _scales(self, task_D: Tensor) -> Sequence[Tensor]:
        if not self._widths:
            return ()
        scales_L = torch.addmv(self._scale_bias, self._scale_weight, task_D.float())
        return torch.split_with_sizes(scales_L, self._widths)


class Plan:
    """The steps of a section, first to last; arguments as of `FusedSection`."""

    def __init__(
        self,
        convs: Sequence[Conv],
        pattern: Pattern,
        incoming: Channels,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        precision: torch.dtype,
        launch: Launch,
    ) -> None:
        self._pattern, self._tensors = pattern, tensors
        self._device, self._precision, self._launch = device, precision, launch
        self._scales: list[tuple[Tensor, Tensor]] = []
        self.steps: list[Step] = []
        useful = tuple(channel for channel in incoming if channel in used_channels(convs, pattern))
        if not any(conv.role is Role.TAIL for conv in convs):
            useful = incoming
        self._take = None if useful == incoming else self._places(useful, incoming)
        self._channels = travelling(convs, pattern, useful)
        head = travelling(convs[:1], pattern) if convs and convs[0].name == "head" else ()
        room = len(self._channels) - len(useful) - len(head)
        rest = list(convs)
        while rest:
            conv = rest.pop(0)
            if conv.role is not Role.HEAD and room:
                self._select()
                self.steps.append(steps.Extend(room))
                room = 0
            if conv.role is Role.ENTER and rest and not pattern[rest[0].fan_out or 0]:
                rest.pop(0)
            elif rest and self._is_pair(conv, rest[0]):
                self.steps.append(self._pair(conv, rest.pop(0)))
            elif conv.role is not Role.LEAVE or pattern[conv.fan_out or 0]:
                self._select()
                self.steps.append(self._single(conv))

    def scales(self) -> tuple[Tensor, Tensor, list[int]]:
        """Weight and bias of all residual scales in one, and how many numbers each has, padding included."""
        weights = [F.pad(weight, (0, 0, 0, block_out(len(bias)) - len(bias))) for weight, bias in self._scales]
        biases = [F.pad(bias, (0, block_out(len(bias)) - len(bias))) for _, bias in self._scales]
        none = torch.zeros(0, 3, device=self._device)
        return torch.cat([none, *weights]), torch.cat([none[:, 0], *biases]), [len(bias) for bias in biases]

    def _select(self) -> None:
        """From here on the stream has the useful channels only."""
        if self._take is not None:
            self.steps.append(steps.Select(self._take))
            self._take = None

    def _is_pair(self, first: Conv, second: Conv) -> bool:
        if first.role is Role.UP:
            numbers = [len(self._pattern[first.fan_out or 0]), first.inputs]
        elif first.role is Role.ENTER:
            ends = {self._pattern[first.fan_in or 0], self._pattern[second.fan_out or 0]}
            if ends != {self._channels}:
                return False
            numbers = [len(self._pattern[first.fan_out or 0]), len(self._channels)]
        else:
            return False
        return all(numbers) and block_out(max(numbers)) <= PAIRED[self._precision]

    def _pair(self, first: Conv, second: Conv) -> Step:
        one = self._packed(first)
        two = self._packed(second, one.block_out)
        if first.role is Role.UP:
            return steps.FinishTwice(self._launch, one, two)
        take, self._take = self._take, None
        return steps.Block(self._launch, one, two, take, self._scale(second))

    def _single(self, conv: Conv) -> Step:
        own = self._packed(conv)
        if conv.role is Role.HEAD:
            return steps.Head(self._launch, own)
        if conv.role in (Role.UP, Role.OUT):
            return steps.Finish(self._launch, own, conv.role is Role.UP)
        if conv.writes_stream:
            return steps.Leave(self._launch, own, self._kept(conv.fan_out), self._scale(conv))
        reader = steps.Tail if conv.role is Role.TAIL else steps.Enter
        return reader(self._launch, own, self._kept(conv.fan_in))

    def _packed(self, conv: Conv, padded_in: int | None = None) -> Packed:
        weight, bias = self._tensors[f"{conv.name}.weight"], self._tensors[f"{conv.name}.bias"]
        if conv.role is Role.TAIL:
            order = torch.arange(len(bias), device=bias.device).view(-1, 4).t().flatten()
            weight, bias = weight[order], bias[order]
        return pack(weight, bias, self._precision, self._device, padded_in)

    def _scale(self, conv: Conv) -> int | None:
        """The index of a block's residual scale; None where it is in the weights already."""
        if f"{conv.name}.scale_weight" not in self._tensors:
            return None
        weight, bias = (self._tensors[f"{conv.name}.scale_{kind}"] for kind in ("weight", "bias"))
        self._scales.append((weight.to(self._device, torch.float32), bias.to(self._device, torch.float32)))
        return len(self._scales) - 1

    def _kept(self, point: int | None) -> Tensor | None:
        """Where the channels of a point travel; None where they are all that travel."""
        channels = self._pattern[point or 0]
        return None if channels == self._channels else self._places(channels, self._channels)

    def _places(self, channels: Channels, among: Channels) -> Tensor:
        place = {channel: index for index, channel in enumerate(among)}
        return torch.tensor([place[channel] for channel in channels], dtype=torch.int32, device=self._device)
