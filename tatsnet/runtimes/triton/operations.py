"""Convolutions as calls of the kernels: weights in blocks, tiles, and memory for what is made.

Shapes: B batch, H height, W width, C channels, I and O a convolution's kept inputs and outputs, L outputs with padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.runtimes.triton.calls import Call, Launch
from tatsnet.runtimes.triton.tiles import block_in, block_out, pair_tile, tile_of


@dataclass(frozen=True, eq=False)
class Packed:
    """A convolution's weights as kernels read them.

    Attributes:
        weight: 9 x inputs x outputs, both padded with zeros to whole blocks.
        bias_L: float32.
        inputs, outputs: without padding.
    """

    weight: Tensor
    bias_L: Tensor
    inputs: int
    outputs: int

    @property
    def block_in(self) -> int:
        """Inputs that are multiplied at once."""
        return block_in(self.inputs, self.weight.dtype)

    @property
    def block_out(self) -> int:
        """Outputs with padding."""
        return len(self.bias_L)


def pack(
    weight_OIHW: Tensor, bias_O: Tensor, precision: torch.dtype, device: torch.device, padded_in: int | None = None
) -> Packed:
    """Weights in blocks, on the device; inputs are padded to whole blocks, or to so many."""
    outputs, inputs = weight_OIHW.shape[:2]
    wide = block_out(outputs)
    room = -inputs % block_in(inputs, precision) if padded_in is None else padded_in - inputs
    taps = weight_OIHW.permute(2, 3, 1, 0).reshape(9, inputs, outputs)
    padded = F.pad(taps, (0, wide - outputs, 0, room))
    bias = F.pad(bias_O.float(), (0, wide - outputs))
    return Packed(padded.to(device, precision).contiguous(), bias.to(device), inputs, outputs)


def convolve(
    launch: Launch,
    source_BHWC: Tensor,
    own: Packed,
    target_BHWC: Tensor,
    *,
    take_I: Tensor | None = None,
    put_O: Tensor | None = None,
    skip_BHWC: Tensor | None = None,
    scale_L: Tensor | None = None,
    stride: int = 1,
    grey: float = 0.0,
    relu: bool = False,
    shuffle: bool = False,
) -> None:
    """Fill the target with a convolution of the source; see `kernels.convolution`."""
    if not own.outputs:
        return
    zoom = 2 if shuffle else 1
    batch, height, width = target_BHWC.shape[0], target_BHWC.shape[1] // zoom, target_BHWC.shape[2] // zoom
    launch(
        Call(
            kernel="convolution",
            arguments={
                "source": source_BHWC,
                "take": take_I,
                "weight": own.weight,
                "bias": own.bias_L,
                "scale": scale_L,
                "skip": skip_BHWC,
                "put": put_O,
                "target": target_BHWC,
                "height": height,
                "width": width,
            },
            constants={
                "IN": source_BHWC.shape[-1],
                "I": own.inputs,
                "I_PADDED": own.weight.shape[1],
                "BLOCK_I": own.block_in,
                "O": own.outputs,
                "BLOCK_O": own.block_out,
                "OUT": target_BHWC.shape[-1],
                "STRIDE": stride,
                "GREY": grey,
                "RELU": relu,
                "SHUFFLE": shuffle,
            },
            precision=own.weight.dtype,
            size=(batch, height, width),
            tile=tile_of(own.block_out, own.block_in, own.weight.dtype),
            margin=0,
        )
    )


def convolve_twice(
    launch: Launch,
    source_BHWC: Tensor,
    first: Packed,
    second: Packed,
    target_BHWC: Tensor,
    *,
    take_I: Tensor | None = None,
    scale_L: Tensor | None = None,
    add: bool = False,
) -> None:
    """Fill the target with a convolution of a ReLU of a convolution of the source; see `kernels.pair`."""
    batch, height, width, channels = source_BHWC.shape
    launch(
        Call(
            kernel="pair",
            arguments={
                "source": source_BHWC,
                "take": take_I,
                "weight1": first.weight,
                "bias1": first.bias_L,
                "weight2": second.weight,
                "bias2": second.bias_L,
                "scale": scale_L,
                "target": target_BHWC,
                "height": height,
                "width": width,
            },
            constants={
                "IN": channels,
                "I": first.inputs,
                "I_PADDED": first.weight.shape[1],
                "BLOCK_I": first.block_in,
                "BLOCK_M": first.block_out,
                "O": second.outputs,
                "BLOCK_O": second.block_out,
                "OUT": target_BHWC.shape[-1],
                "ADD": add,
            },
            precision=first.weight.dtype,
            size=(batch, height, width),
            tile=pair_tile(max(first.block_out, second.block_out), first.weight.dtype),
            margin=2,
        )
    )
