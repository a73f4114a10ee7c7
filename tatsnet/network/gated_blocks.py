"""The gated residual blocks, and the last pair of convolutions, as single steps of autograd: fewer passes over memory.

The gates are 0 or 1. A channel that is off gets no gradient, but its gate does: what opening it would have changed.
Shapes: B batch, C channels, H height, W width, K blocks, N selection points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Convolution = tuple[Tensor, Tensor]
"""Weight and bias."""


def gated_pair(x_BCHW: Tensor, gate_BC: Tensor, first: Convolution, second: Convolution) -> Tensor:
    """3x3 convolution, ReLU, gate, 3x3 convolution."""
    out: Tensor = _GatedPair.apply(x_BCHW, gate_BC, *first, *second)  # type: ignore[no-untyped-call]
    return out


def gated_blocks(
    stream_BCHW: Tensor, gates_BNC: Tensor, scales_BKC: Tensor, convolutions: Sequence[Convolution]
) -> Tensor:
    """The skip stream from the head's gate to the tail's, through K blocks.

    A block adds to the stream: gate, 3x3 convolution, ReLU, gate, 3x3 convolution, gate, scale.

    Args:
        stream_BCHW: what the head made.
        gates_BNC: of the selection points, N = 3K + 2: the head's, three of each block, the tail's.
        scales_BKC: residual scales.
        convolutions: two of each block.
    """
    flat = [tensor for convolution in convolutions for tensor in convolution]
    stream: Tensor = _GatedBlocks.apply(stream_BCHW, gates_BNC, scales_BKC, *flat)  # type: ignore[no-untyped-call]
    return stream


def gated_blocks_by_kernels(
    stream_BCHW: Tensor,
    gates_BNC: Tensor,
    scales_BKC: Tensor,
    convolutions: Sequence[Convolution],
    block: Callable[..., Tensor],
) -> Tensor:
    """The same as `gated_blocks`, block by block; `block` is `gated_block`, compiled for a GPU, where it is faster."""
    blocks = scales_BKC.shape[1]
    gates = _each(gates_BNC, stream_BCHW.dtype)
    scales = _each(scales_BKC * gates_BNC[:, 3 : 3 * blocks + 1 : 3], stream_BCHW.dtype)
    stream = stream_BCHW * gates[0]
    for index in range(blocks):
        into, mid = gates[3 * index + 1 : 3 * index + 3]
        stream = block(stream, into, mid, *convolutions[2 * index], *convolutions[2 * index + 1], scales[index])
    return stream * gates[3 * blocks + 1]


def gated_block(
    stream: Tensor, into: Tensor, mid: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, scale: Tensor
) -> Tensor:
    """Gate, convolution, ReLU, gate, convolution, scale and gate, skip."""
    hidden = F.relu(F.conv2d(stream * into, w1, b1, padding=1))
    return torch.addcmul(stream, F.conv2d(hidden * mid, w2, b2, padding=1), scale)


def _over_pixels(a_BCHW: Tensor, b_BCHW: Tensor, room_BCHW: Tensor, sum_BC: Tensor) -> None:
    """The sum of their product; `room_BCHW` is overwritten, so that it stays in the cache."""
    torch.sum(torch.mul(a_BCHW, b_BCHW, out=room_BCHW), (2, 3), dtype=sum_BC.dtype, out=sum_BC)


def _conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of a 3x3 convolution's input, and of its weight and bias where wanted."""
    to_x, to_weight, _ = torch.ops.aten.convolution_backward.default(
        grad, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, wanted[0], False]
    )
    return to_x, to_weight, grad.sum((0, 2, 3)) if wanted[1] else None  # oneDNN's sum takes five times as long


def _each(values_BNC: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
    """The values of every point or block, B x C x 1 x 1."""
    return values_BNC.to(dtype)[..., None, None].unbind(1)


class _GatedPair(torch.autograd.Function):
    """Both convolutions in one step, for the sake of their biases' gradients (`_conv_backward`)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        hidden = F.conv2d(x, w1, b1, padding=1).relu_()
        kept = hidden * gate.to(hidden.dtype)[..., None, None]
        ctx.save_for_backward(x, gate, w1, w2, hidden, kept)
        return F.conv2d(kept, w2, b2, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, w1, w2, hidden, kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        to_kept, *to_second = _conv_backward(grad, kept, w2, wanted[2:])
        to_gate = torch.empty_like(gate) if ctx.needs_input_grad[1] else None
        if to_gate is not None:
            _over_pixels(to_kept, hidden, torch.empty_like(kept), to_gate)
        # Gates are 0 or 1, so `kept > 0` is the ReLU and the gate in one.
        to_hidden = torch.ops.aten.threshold_backward.grad_input(to_kept, kept, 0, grad_input=to_kept)
        to_x, *to_first = _conv_backward(to_hidden, x, w1, wanted[:2])
        return to_x, to_gate, *to_first, *to_second


class _GatedBlocks(torch.autograd.Function):
    """All blocks in one step: what autograd does between the steps costs a small network more than the gates do.

    Plainly, with g for gates and s for scales, block k is: stream += s_k * g_out * conv2(g_mid * relu(conv1(g_in *
    stream))). `gated_block` is that operator by operator; a test compares both, gradients included.

    What a convolution reads is made anew in the backward pass: a product in the cache is faster than memory.
    """

    @staticmethod
    def forward(ctx: Any, head: Tensor, gates: Tensor, scales: Tensor, *flat: Tensor) -> Tensor:
        blocks = scales.shape[1]
        scaled = scales * gates[:, 3 : 3 * blocks + 1 : 3]
        opened, scale = _each(gates, head.dtype), _each(scaled, head.dtype)
        stream, room = head * opened[0], torch.empty_like(head)
        saved: list[Tensor] = []
        for index in range(blocks):
            w1, b1, w2, b2 = flat[4 * index : 4 * index + 4]
            into, mid = opened[3 * index + 1 : 3 * index + 3]
            hidden = F.conv2d(torch.mul(stream, into, out=room), w1, b1, padding=1).relu_()
            added = F.conv2d(torch.mul(hidden, mid, out=room), w2, b2, padding=1)
            saved += [stream, hidden, added]
            stream = torch.addcmul(stream, added, scale[index])
        ctx.save_for_backward(gates, scales, scaled, head, stream, *flat, *saved)
        return stream * opened[3 * blocks + 1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gates, scales, scaled, head, last, *rest = ctx.saved_tensors
        blocks = scales.shape[1]
        flat, saved = rest[: 4 * blocks], rest[4 * blocks :]
        opened, scale = _each(gates, head.dtype), _each(scaled, head.dtype)
        searched, wanted = ctx.needs_input_grad[1], ctx.needs_input_grad[3:]
        to_flat: list[Tensor | None] = [None] * len(flat)
        to_scaled, to_gates = scaled.new_empty(blocks, *head.shape[:2]), gates.new_empty(len(opened), *head.shape[:2])
        room, again = torch.empty_like(head), torch.empty_like(head)
        if searched:
            _over_pixels(grad, last, room, to_gates[-1])
        grad = grad * opened[3 * blocks + 1]
        for index in reversed(range(blocks)):
            at = slice(4 * index, 4 * index + 4)
            w1, _, w2, _ = flat[at]
            into, mid = 3 * index + 1, 3 * index + 2
            stream, hidden, added = saved[3 * index : 3 * index + 3]
            # The stream passes on `grad` as it is; what follows goes back through the block, last operator first.
            _over_pixels(grad, added, room, to_scaled[index])
            kept = torch.mul(hidden, opened[mid], out=again)
            to_added = torch.mul(grad, scale[index], out=room)
            to_kept, *to_second = _conv_backward(to_added, kept, w2, wanted[at][2:])
            if searched:
                _over_pixels(to_kept, hidden, room, to_gates[mid])
            # Gates are 0 or 1, so `kept > 0` is the ReLU and the gate in one.
            to_hidden = torch.ops.aten.threshold_backward.grad_input(to_kept, kept, 0, grad_input=to_kept)
            read = torch.mul(stream, opened[into], out=again)
            to_read, *to_first = _conv_backward(to_hidden, read, w1, wanted[at][:2])
            if searched:
                _over_pixels(to_read, stream, room, to_gates[into])
            grad = torch.addcmul(grad, to_read, opened[into], out=to_read)
            to_flat[at] = [*to_first, *to_second]
        to_scaled = to_scaled.transpose(0, 1)
        out = slice(3, 3 * blocks + 1, 3)
        if searched:
            _over_pixels(grad, head, room, to_gates[0])
            to_gates = to_gates.transpose(0, 1)
            to_gates[:, out] = to_scaled * scales  # of s_k * g_out, which the blocks had as one factor
        return grad * opened[0], to_gates if searched else None, to_scaled * gates[:, out], *to_flat
