"""The steps of a section as calls of the kernels; compare `tatsnet.runtimes.torch.layers`.

Shapes: B batch, H height, W width, C channels, I and O a convolution's kept inputs and outputs, L outputs with padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.supernet import MEAN_COLOUR
from tatsnet.runtimes.triton.calls import Launch
from tatsnet.runtimes.triton.operations import Packed, convolve, convolve_twice


class Now(NamedTuple):
    """What passes from one step to the next: a `State`, pixel by pixel.

    Attributes:
        image_BHWC, stream_BHWC, hidden_BHWC, owned: as of `State`; stream and hidden are contiguous.
        scales: of the section's blocks, each float32 with padding.
    """

    image_BHWC: Tensor
    stream_BHWC: Tensor
    hidden_BHWC: Tensor
    owned: bool
    scales: Sequence[Tensor]

    def room(self, channels: int, like: Packed, *, half: bool = True) -> Tensor:
        """Memory for a result at half or full resolution."""
        batch, height, width, _ = self.image_BHWC.shape
        size = (height // 2, width // 2) if half else (height, width)
        return self.image_BHWC.new_empty((batch, *size, channels), dtype=like.weight.dtype)


@dataclass(frozen=True, eq=False)
class Head:
    """Image -> stream."""

    launch: Launch
    own: Packed

    def __call__(self, now: Now) -> Now:
        stream = now.room(self.own.outputs, self.own)
        convolve(self.launch, now.image_BHWC.contiguous(), self.own, stream, stride=2, grey=MEAN_COLOUR)
        return now._replace(stream_BHWC=stream, owned=True)


@dataclass(frozen=True, eq=False)
class Select:
    """Of the stream's channels those that this section uses, in a stream of its own."""

    take_C: Tensor

    def __call__(self, now: Now) -> Now:
        return now._replace(stream_BHWC=now.stream_BHWC.index_select(-1, self.take_C), owned=True)


@dataclass(frozen=True, eq=False)
class Extend:
    """Room in the stream for channels that this section writes first; they start at zero."""

    channels: int

    def __call__(self, now: Now) -> Now:
        return now._replace(stream_BHWC=F.pad(now.stream_BHWC, (0, self.channels)), owned=True)


@dataclass(frozen=True, eq=False)
class Block:
    """A block that reads and writes every channel of the stream; it may take them from a wider one.

    Args:
        take_I: their places in the wider stream.
        scale: the index of its scale; None where that is in the weights.
    """

    launch: Launch
    first: Packed
    second: Packed
    take_I: Tensor | None
    scale: int | None

    def __call__(self, now: Now) -> Now:
        stream = now.room(self.second.outputs, self.second)
        scale_L = None if self.scale is None else now.scales[self.scale]
        convolve_twice(
            self.launch, now.stream_BHWC, self.first, self.second, stream, take_I=self.take_I, scale_L=scale_L, add=True
        )
        return now._replace(stream_BHWC=stream, owned=True)


@dataclass(frozen=True, eq=False)
class Enter:
    """A block's first convolution: stream -> hidden."""

    launch: Launch
    own: Packed
    take_I: Tensor | None

    def __call__(self, now: Now) -> Now:
        hidden = now.room(self.own.outputs, self.own)
        convolve(self.launch, now.stream_BHWC, self.own, hidden, take_I=self.take_I, relu=True)
        return now._replace(hidden_BHWC=hidden)


@dataclass(frozen=True, eq=False)
class Leave:
    """A block's second convolution: hidden, times the residual scale, is added to the stream.

    Args:
        put_O: the channels of the stream that it adds to; None adds to all.
        scale: as of `Block`.
    """

    launch: Launch
    own: Packed
    put_O: Tensor | None
    scale: int | None

    def __call__(self, now: Now) -> Now:
        before, stream = now.stream_BHWC, now.stream_BHWC
        if not now.owned and self.put_O is None:
            stream = torch.empty_like(before)
        elif not now.owned:
            before = stream = before.clone()
        scale_L = None if self.scale is None else now.scales[self.scale]
        convolve(self.launch, now.hidden_BHWC, self.own, stream, put_O=self.put_O, skip_BHWC=before, scale_L=scale_L)
        return now._replace(stream_BHWC=stream, hidden_BHWC=now.image_BHWC[..., :0], owned=True)


@dataclass(frozen=True, eq=False)
class Tail:
    """Stream -> hidden at full resolution, its pixels shuffled on the way; nothing reads the stream after it.

    Args:
        own: outputs in the order (row, column, channel) of the 2 x 2 pixels that they become.
    """

    launch: Launch
    own: Packed
    take_I: Tensor | None

    def __call__(self, now: Now) -> Now:
        hidden = now.room(self.own.outputs // 4, self.own, half=False)
        convolve(self.launch, now.stream_BHWC, self.own, hidden, take_I=self.take_I, shuffle=True)
        return now._replace(stream_BHWC=now.image_BHWC[..., :0], hidden_BHWC=hidden, owned=True)


@dataclass(frozen=True, eq=False)
class Finish:
    """Hidden -> hidden at full resolution: up, or out."""

    launch: Launch
    own: Packed
    relu: bool

    def __call__(self, now: Now) -> Now:
        hidden = now.room(self.own.outputs, self.own, half=False)
        convolve(self.launch, now.hidden_BHWC, self.own, hidden, relu=self.relu)
        return now._replace(hidden_BHWC=hidden)


@dataclass(frozen=True, eq=False)
class FinishTwice:
    """Hidden -> hidden at full resolution: up and out."""

    launch: Launch
    first: Packed
    second: Packed

    def __call__(self, now: Now) -> Now:
        hidden = now.room(self.second.outputs, self.second, half=False)
        convolve_twice(self.launch, now.hidden_BHWC, self.first, self.second, hidden)
        return now._replace(hidden_BHWC=hidden)
