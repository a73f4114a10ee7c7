"""The gated residual blocks, and a gated ReLU, as single steps of autograd, which pass over memory less often.

The gates are 0 or 1. A channel that is off gets no gradient, but its gate does: what opening it would have changed.
Shapes: B batch, C channels, H height, W width, K blocks, N selection points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def gated_relu(x_BCHW: Tensor, gate_BC11: Tensor) -> Tensor:
    """ReLU, then the gate; `x_BCHW` is overwritten."""
    kept: Tensor = _GatedRelu.apply(x_BCHW, gate_BC11)  # type: ignore[no-untyped-call]
    return kept


def gated_blocks(
    stream_BCHW: Tensor, gates_BNC: Tensor, scales_BKC: Tensor, convolutions: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    """The skip stream from the head's gate to the tail's, through K blocks.

    A block adds to the stream: gate, 3x3 convolution, ReLU, gate, 3x3 convolution, gate, scale.

    Args:
        stream_BCHW: what the head made.
        gates_BNC: of all selection points, N >= 3K + 2: the head's, three of each block, the tail's; more are not read.
        scales_BKC: residual scales.
        convolutions: weight and bias, two of each block.
    """
    flat = [tensor for convolution in convolutions for tensor in convolution]
    stream: Tensor = _GatedBlocks.apply(stream_BCHW, gates_BNC, scales_BKC, *flat)  # type: ignore[no-untyped-call]
    return stream


def _over_pixels(a_BCHW: Tensor, b_BCHW: Tensor, room_BCHW: Tensor) -> Tensor:
    """The sum of their product, B x C; `room_BCHW` is overwritten, so that it stays in the cache."""
    return torch.mul(a_BCHW, b_BCHW, out=room_BCHW).sum((2, 3))


def _conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of a 3x3 convolution's input, and of its weight and bias where wanted."""
    made: tuple[Tensor, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        grad, x, weight, [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, *wanted]
    )
    return made


def _each(values_BNC: Tensor) -> tuple[Tensor, ...]:
    """The values of every point or block, B x C x 1 x 1."""
    return values_BNC[..., None, None].unbind(1)


class _GatedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        open_x = x.relu_()
        kept = open_x * gate
        ctx.save_for_backward(open_x, kept)
        return kept

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        open_x, kept = ctx.saved_tensors
        to_gate = None
        if ctx.needs_input_grad[1]:
            to_gate = _over_pixels(grad, open_x, torch.empty_like(kept))[..., None, None]
        return torch.ops.aten.threshold_backward(grad, kept, 0), to_gate


class _GatedBlocks(torch.autograd.Function):
    """All blocks in one step: what autograd does between the steps costs a small network more than the gates do."""

    @staticmethod
    def forward(ctx: Any, head: Tensor, gates: Tensor, scales: Tensor, *flat: Tensor) -> Tensor:
        blocks = scales.shape[1]
        ctx.searched = ctx.needs_input_grad[1]
        scaled = scales * gates[:, 3 : 3 * blocks + 1 : 3]
        opened, scale = _each(gates), _each(scaled)
        stream = head * opened[0]
        saved: list[Tensor | None] = []
        for index in range(blocks):
            w1, b1, w2, b2 = flat[4 * index : 4 * index + 4]
            into, mid = opened[3 * index + 1 : 3 * index + 3]
            read = stream * into
            hidden = F.conv2d(read, w1, b1, padding=1).relu_()
            kept = hidden * mid if ctx.searched else hidden.mul_(mid)
            added = F.conv2d(kept, w2, b2, padding=1)
            saved += [stream, hidden] if ctx.searched else [None, None]
            saved += [read, kept, added]
            stream = torch.addcmul(stream, added, scale[index])
        ends = [head, stream] if ctx.searched else [None, None]
        ctx.save_for_backward(gates, scales, scaled, *ends, *flat, *saved)
        return stream * opened[3 * blocks + 1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gates, scales, scaled, head, last, *rest = ctx.saved_tensors
        blocks = scales.shape[1]
        flat, saved = rest[: 4 * blocks], rest[4 * blocks :]
        opened, scale = _each(gates), _each(scaled)
        wanted = ctx.needs_input_grad[3:]
        to_flat: list[Tensor | None] = [None] * len(flat)
        to_scaled = torch.empty_like(scaled)
        to_gates = torch.zeros_like(gates) if ctx.searched else None
        room = torch.empty_like(grad)
        if to_gates is not None:
            to_gates[:, 3 * blocks + 1] = _over_pixels(grad, last, room)
        grad = grad * opened[3 * blocks + 1]
        for index in reversed(range(blocks)):
            at = slice(4 * index, 4 * index + 4)
            w1, _, w2, _ = flat[at]
            into, mid = 3 * index + 1, 3 * index + 2
            stream, hidden, read, kept, added = saved[5 * index : 5 * index + 5]
            to_scaled[:, index] = _over_pixels(grad, added, room)
            to_added = torch.mul(grad, scale[index], out=room)
            to_kept, *to_second = _conv_backward(to_added, kept, w2, wanted[at][2:])
            if to_gates is not None:
                to_gates[:, mid] = _over_pixels(to_kept, hidden, room)
            to_hidden = torch.ops.aten.threshold_backward.grad_input(to_kept, kept, 0, grad_input=to_kept)
            to_read, *to_first = _conv_backward(to_hidden, read, w1, wanted[at][:2])
            if to_gates is not None:
                to_gates[:, into] = _over_pixels(to_read, stream, room)
            grad = torch.addcmul(grad, to_read, opened[into], out=to_read)
            to_flat[at] = [*to_first, *to_second]
        out = slice(3, 3 * blocks + 1, 3)
        if to_gates is not None:
            to_gates[:, out] = to_scaled * scales
            to_gates[:, 0] = _over_pixels(grad, head, room)
        return grad * opened[0], to_gates, to_scaled * gates[:, out], *to_flat
