"""A section of an extracted network as modules: small convolutions along a compact skip stream, no masks.

The stream that travels has only the channels that are ever written. A convolution that reads some of them gathers
them, one that writes some adds to them. Shapes: B batch, C channels, H height, W width, D degradation types (3),
I and O a convolution's kept inputs and outputs.

A convolution without inputs gives its bias; one without outputs gives a tensor of no channels (PyTorch's own answer
for no inputs is wrong, and silent).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tatsnet.architecture import Channels, Conv, Pattern
from tatsnet.slicing import travelling, writes_stream
from tatsnet.supernet import MEAN_COLOUR


class State(NamedTuple):
    """What passes from one convolution to the next.

    Attributes:
        image_BCHW: the padded input.
        stream_BCHW: the skip stream at half resolution; no channels before the head and after the tail.
        hidden_BCHW: within a block its middle channels, after the tail what is still to come; else no channels.
        owned: whether the stream may be updated in place; a stream that other effects read may not.
    """

    image_BCHW: Tensor
    stream_BCHW: Tensor
    hidden_BCHW: Tensor
    owned: bool


def start(image_BCHW: Tensor) -> State:
    """The state before the first convolution; the image's sizes are even."""
    nothing = image_BCHW[:, :0]
    return State(image_BCHW, nothing, nothing, True)


def convolve(x_BCHW: Tensor, weight_OIHW: Tensor, bias_O: Tensor, stride: int = 1) -> Tensor:
    """3x3 convolution with zeros around; exact without inputs or outputs too. The result is a tensor of its own."""
    outputs, inputs = weight_OIHW.shape[:2]
    if inputs and outputs:
        return F.conv2d(x_BCHW, weight_OIHW, bias_O, stride, padding=1)
    height, width = (size // stride for size in x_BCHW.shape[-2:])
    return bias_O.view(1, -1, 1, 1).expand(len(x_BCHW), outputs, height, width).clone()


class _Convolution(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_OIHW, requires_grad=False)
        self.bias = nn.Parameter(bias_O, requires_grad=False)


class _Reader(_Convolution):
    """Reads some channels of the stream; None reads all, as they travel."""

    take: Tensor | None

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor, take_I: Tensor | None) -> None:
        super().__init__(weight_OIHW, bias_O)
        self.register_buffer("take", take_I)

    def read(self, stream_BCHW: Tensor) -> Tensor:
        taken = stream_BCHW if self.take is None else stream_BCHW.index_select(1, self.take)
        return convolve(taken, self.weight, self.bias)


class Head(_Convolution):
    """Image -> stream."""

    def forward(self, state: State, task_D: Tensor) -> State:
        stream = convolve(state.image_BCHW - MEAN_COLOUR, self.weight, self.bias, stride=2)
        return state._replace(stream_BCHW=stream, owned=True)


class Extend(nn.Module):
    """Room in the stream for channels that this section writes first; they start at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, state: State, task_D: Tensor) -> State:
        wider = F.pad(state.stream_BCHW, (0, 0, 0, 0, 0, self.channels))
        return state._replace(stream_BCHW=wider, owned=True)


class Enter(_Reader):
    """A block's first convolution: stream -> hidden."""

    def forward(self, state: State, task_D: Tensor) -> State:
        return state._replace(hidden_BCHW=self.read(state.stream_BCHW).relu_())


class Leave(_Convolution):
    """A block's second convolution: hidden, times the residual scale, is added to the stream.

    Args:
        put_O: the channels of the stream that it adds to; None adds to all, as they travel.
        scale: weight (O x D) and bias (O) of the residual scale; None where it is in the weights already.
    """

    put: Tensor | None
    scale_weight: Tensor
    scale_bias: Tensor

    def __init__(
        self, weight_OIHW: Tensor, bias_O: Tensor, put_O: Tensor | None, scale: tuple[Tensor, Tensor] | None
    ) -> None:
        super().__init__(weight_OIHW, bias_O)
        self.register_buffer("put", put_O)
        self.is_scaled = scale is not None
        if scale is not None:
            self.scale_weight = nn.Parameter(scale[0], requires_grad=False)
            self.scale_bias = nn.Parameter(scale[1], requires_grad=False)

    def forward(self, state: State, task_D: Tensor) -> State:
        weight, bias = self.weight, self.bias
        if self.is_scaled:
            scale_O = self.scale_weight @ task_D + self.scale_bias
            weight, bias = weight * scale_O[:, None, None, None], bias * scale_O
        added, stream = convolve(state.hidden_BCHW, weight, bias), state.stream_BCHW
        if self.put is None:
            stream = stream.add_(added) if state.owned else stream + added
        else:
            stream = stream.index_add_(1, self.put, added) if state.owned else stream.index_add(1, self.put, added)
        return State(state.image_BCHW, stream, state.image_BCHW[:, :0], True)


class Tail(_Reader):
    """Stream -> hidden at full resolution; nothing reads the stream after it."""

    def forward(self, state: State, task_D: Tensor) -> State:
        hidden = F.pixel_shuffle(self.read(state.stream_BCHW), 2)
        return State(state.image_BCHW, state.image_BCHW[:, :0], hidden, True)


class Up(_Convolution):
    """Hidden -> hidden at full resolution."""

    def forward(self, state: State, task_D: Tensor) -> State:
        return state._replace(hidden_BCHW=convolve(state.hidden_BCHW, self.weight, self.bias).relu_())


class Out(_Convolution):
    """Hidden -> three colours, still to be scaled and added to the image."""

    def forward(self, state: State, task_D: Tensor) -> State:
        return state._replace(hidden_BCHW=convolve(state.hidden_BCHW, self.weight, self.bias))


class Section(nn.Module):
    """Consecutive convolutions: the task-agnostic part, or one pattern's task-specific part.

    Args:
        convs: of this section, first to last; may be none.
        pattern: the kept channels.
        incoming: the stream's channels before this section, in the order in which they travel.
        tensors: what `slice_section` gave for it.
    """

    def __init__(
        self, convs: Sequence[Conv], pattern: Pattern, incoming: Channels, tensors: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.channels = travelling(convs, pattern, incoming)
        self.steps = nn.ModuleList()
        head = travelling(convs[:1], pattern) if convs and convs[0].name == "head" else ()
        room = len(self.channels) - len(incoming) - len(head)
        for conv in convs:
            if conv.name != "head" and room:
                self.steps.append(Extend(room))
                room = 0
            if not (conv.name.endswith("conv2") and not pattern[conv.fan_out or 0]):
                self.steps.append(self._step(conv, pattern, tensors))

    def _step(self, conv: Conv, pattern: Pattern, tensors: Mapping[str, Tensor]) -> nn.Module:
        weight, bias = tensors[f"{conv.name}.weight"], tensors[f"{conv.name}.bias"]
        if conv.name in ("head", "up", "out"):
            return {"head": Head, "up": Up, "out": Out}[conv.name](weight, bias)
        if not writes_stream(conv):
            kind = Tail if conv.name == "tail" else Enter
            return kind(weight, bias, self._places(pattern[conv.fan_in or 0], weight))
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
