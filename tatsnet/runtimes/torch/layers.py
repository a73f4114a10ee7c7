"""The steps of an extracted network: small convolutions along a compact skip stream, no masks.

The stream that travels has only the channels that are ever written. A convolution that reads some of them gathers
them, one that writes some adds to them. Shapes: B batch, C channels, H height, W width, D degradation types (3),
I and O a convolution's kept inputs and outputs.

Up to the tail's input tensors lie plane by plane on a CPU, where gathering channels copies whole planes, and pixel by
pixel (channels last) on a GPU, whose matrix units read them so; from the tail on pixel by pixel, where convolutions of
few channels and the pixel shuffle are faster.

A convolution without inputs gives its bias; one without outputs gives a tensor of no channels (PyTorch's own answer
for no inputs is wrong, and silent).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tatsnet.network.supernet import MEAN_COLOUR

ALONE = 2**15
"""Numbers up to which PyTorch computes in the calling thread alone."""


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


def add_scaled(image_BCHW: Tensor, scale_C: Tensor, hidden_BCHW: Tensor) -> Tensor:
    """The last step of the network: hidden, times the global scale of each colour, is added to the image.

    On a CPU the calling thread does it alone, piece by piece: PyTorch's other threads would go on looking for work for
    some milliseconds, on the cores on which a runtime's own threads start the next effect.
    """
    if image_BCHW.device.type != "cpu" or hidden_BCHW.dtype != image_BCHW.dtype:
        return torch.addcmul(image_BCHW, scale_C[:, None, None], hidden_BCHW)
    restored_BCHW = torch.empty_like(image_BCHW)
    rows = max(1, ALONE // image_BCHW.shape[3])
    for image, hidden, restored in zip(image_BCHW, hidden_BCHW, restored_BCHW, strict=True):
        for colour, scale in enumerate(scale_C):
            pieces = (tensor[colour].split(rows) for tensor in (image, hidden, restored))
            for own, added, made in zip(*pieces, strict=True):
                torch.addcmul(own, scale, added, out=made)
    return restored_BCHW


def convolve(x_BCHW: Tensor, weight_OIHW: Tensor, bias_O: Tensor, stride: int = 1) -> Tensor:
    """3x3 convolution with zeros around; exact without inputs or outputs too. The result is a tensor of its own."""
    outputs, inputs = weight_OIHW.shape[:2]
    if inputs and outputs:
        return F.conv2d(x_BCHW, weight_OIHW, bias_O, stride, padding=1)
    height, width = (size // stride for size in x_BCHW.shape[-2:])
    return bias_O.view(1, -1, 1, 1).expand(len(x_BCHW), outputs, height, width).clone()


def _channels_last(weight_OIHW: Tensor) -> Tensor:
    return weight_OIHW.contiguous(memory_format=torch.channels_last)


def _select(stream_BCHW: Tensor, places_C: Tensor, layout: torch.memory_format) -> Tensor:
    return stream_BCHW.index_select(1, places_C).contiguous(memory_format=layout)


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

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor, take_I: Tensor | None, layout: torch.memory_format) -> None:
        super().__init__(weight_OIHW, bias_O)
        self.layout = layout
        self.register_buffer("take", take_I)

    def read(self, stream_BCHW: Tensor) -> Tensor:
        return stream_BCHW if self.take is None else _select(stream_BCHW, self.take, self.layout)


class Head(_Convolution):
    """Image -> stream."""

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor, layout: torch.memory_format) -> None:
        super().__init__(weight_OIHW, bias_O)
        self.layout = layout

    def forward(self, state: State, task_D: Tensor) -> State:
        stream = convolve(state.image_BCHW - MEAN_COLOUR, self.weight, self.bias, stride=2)
        return state._replace(stream_BCHW=stream.contiguous(memory_format=self.layout), owned=True)


class Take(nn.Module):
    """Of the stream's channels those that this section uses, in a stream of its own; nothing reads the others later."""

    take: Tensor

    def __init__(self, take_C: Tensor, layout: torch.memory_format) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("take", take_C)

    def forward(self, state: State, task_D: Tensor) -> State:
        return state._replace(stream_BCHW=_select(state.stream_BCHW, self.take, self.layout), owned=True)


class Extend(nn.Module):
    """Room in the stream for channels that this section writes first; they start at zero."""

    def __init__(self, channels: int, layout: torch.memory_format) -> None:
        super().__init__()
        self.channels, self.layout = channels, layout

    def forward(self, state: State, task_D: Tensor) -> State:
        wider = F.pad(state.stream_BCHW, (0, 0, 0, 0, 0, self.channels))
        return state._replace(stream_BCHW=wider.contiguous(memory_format=self.layout), owned=True)


class Enter(_Reader):
    """A block's first convolution: stream -> hidden."""

    def forward(self, state: State, task_D: Tensor) -> State:
        hidden = convolve(self.read(state.stream_BCHW), self.weight, self.bias).relu_()
        return state._replace(hidden_BCHW=hidden)


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
    """Stream -> hidden at full resolution, as `F.pixel_shuffle` of 2 would; nothing reads the stream after it.

    The convolution's outputs are kept in the order (row, column, channel) of the pixels that they become, so that
    the shuffle moves runs of two pixels.
    """

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor, take_I: Tensor | None) -> None:
        order = torch.arange(len(bias_O), device=bias_O.device).view(-1, 4).t().flatten()
        super().__init__(_channels_last(weight_OIHW[order]), bias_O[order], take_I, torch.channels_last)

    def forward(self, state: State, task_D: Tensor) -> State:
        taken = self.read(state.stream_BCHW).contiguous(memory_format=self.layout)
        pixels_BHWC = convolve(taken, self.weight, self.bias).permute(0, 2, 3, 1)
        batch, height, width, outputs = pixels_BHWC.shape
        rows = pixels_BHWC.reshape(batch, height, width, 2, outputs // 2).transpose(2, 3)
        hidden = rows.reshape(batch, 2 * height, 2 * width, outputs // 4).permute(0, 3, 1, 2)
        return State(state.image_BCHW, state.image_BCHW[:, :0], hidden, True)


class Up(_Convolution):
    """Hidden -> hidden at full resolution."""

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor) -> None:
        super().__init__(_channels_last(weight_OIHW), bias_O)

    def forward(self, state: State, task_D: Tensor) -> State:
        return state._replace(hidden_BCHW=convolve(state.hidden_BCHW, self.weight, self.bias).relu_())


class Out(_Convolution):
    """Hidden -> three colours, still to be scaled and added to the image."""

    def __init__(self, weight_OIHW: Tensor, bias_O: Tensor) -> None:
        super().__init__(_channels_last(weight_OIHW), bias_O)

    def forward(self, state: State, task_D: Tensor) -> State:
        return state._replace(hidden_BCHW=convolve(state.hidden_BCHW, self.weight, self.bias))
