"""A gated residual block and a gated ReLU as single steps of autograd, which pass over memory less often.

The gates are 0 or 1. A channel that is off gets no gradient, but its gate does: what opening it would have changed.
Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def gated_relu(x_BCHW: Tensor, gate_BC11: Tensor) -> Tensor:
    """ReLU, then the gate; `x_BCHW` is overwritten."""
    kept: Tensor = _GatedRelu.apply(x_BCHW, gate_BC11)  # type: ignore[no-untyped-call]
    return kept


def gated_block(
    stream_BCHW: Tensor, into_BC11: Tensor, mid_BC11: Tensor, scale_BC11: Tensor, conv1: nn.Conv2d, conv2: nn.Conv2d
) -> Tensor:
    """The stream plus a block of it: gate, 3x3 convolution, ReLU, gate, 3x3 convolution, scale."""
    stream: Tensor = _GatedBlock.apply(  # type: ignore[no-untyped-call]
        stream_BCHW, into_BC11, mid_BC11, scale_BC11, conv1.weight, conv1.bias, conv2.weight, conv2.bias
    )
    return stream


def _over_pixels(a_BCHW: Tensor, b_BCHW: Tensor, room_BCHW: Tensor) -> Tensor:
    """The sum of their product, B x C x 1 x 1; `room_BCHW` is overwritten, so that it stays in the cache."""
    return torch.mul(a_BCHW, b_BCHW, out=room_BCHW).sum((2, 3), keepdim=True)


def _conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of a 3x3 convolution's input, weight and bias."""
    made: tuple[Tensor, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        grad, x, weight, [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
    )
    return made


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
        to_gate = _over_pixels(grad, open_x, torch.empty_like(kept)) if ctx.needs_input_grad[1] else None
        return torch.ops.aten.threshold_backward(grad, kept, 0), to_gate


class _GatedBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        stream: Tensor,
        into: Tensor,
        mid: Tensor,
        scale: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
    ) -> Tensor:
        read = stream * into
        hidden = F.conv2d(read, w1, b1, padding=1).relu_()
        searched = ctx.needs_input_grad[2]
        kept = hidden * mid if searched else hidden.mul_(mid)
        added = F.conv2d(kept, w2, b2, padding=1)
        ctx.save_for_backward(
            stream if searched else None, into, scale, read, hidden if searched else None, kept, added, w1, w2
        )
        return torch.addcmul(stream, added, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        stream, into, scale, read, hidden, kept, added, w1, w2 = ctx.saved_tensors
        _, _, searched, _, *weights = ctx.needs_input_grad
        room = torch.empty_like(added)
        to_scale = _over_pixels(grad, added, room)
        to_kept, to_w2, to_b2 = _conv_backward(
            torch.mul(grad, scale, out=room), kept, w2, (True, weights[2], weights[3])
        )
        to_mid = _over_pixels(to_kept, hidden, room) if searched else None
        to_hidden = torch.ops.aten.threshold_backward(to_kept, kept, 0)
        to_read, to_w1, to_b1 = _conv_backward(to_hidden, read, w1, (True, weights[0], weights[1]))
        to_into = _over_pixels(to_read, stream, room) if searched else None
        to_stream = torch.addcmul(grad, to_read, into, out=to_read)
        return to_stream, to_into, to_mid, to_scale, to_w1, to_b1, to_w2, to_b2
