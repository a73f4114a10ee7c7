"""The kernels on images of several of a GPU's tiles, interpreted, beside PyTorch's convolution.

Shapes: B batch, H height, W width, C channels, I and O a convolution's inputs and outputs.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.runtimes.triton.calls import Call
from tatsnet.runtimes.triton.launch import interpreted
from tatsnet.runtimes.triton.operations import Packed, convolve, convolve_twice, pack
from tatsnet.runtimes.triton.tiles import Tile

CPU = torch.device("cpu")
SMALL = Tile(height=4, width=8, warps=1)
"""So that few pixels are many tiles."""


def in_tiles(call: Call) -> None:
    interpreted(call, SMALL)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def weights(inputs: int, outputs: int, padded_in: int | None = None) -> tuple[Tensor, Tensor, Packed]:
    weight, bias = random(outputs, inputs, 3, 3) / (3 * max(inputs, 1) ** 0.5), random(outputs)
    return weight, bias, pack(weight, bias, torch.float32, CPU, padded_in)


def padded(x_O: Tensor, own: Packed) -> Tensor:
    return F.pad(x_O, (0, own.block_out - own.outputs))


def right(source_BHWC: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(source_BHWC.permute(0, 3, 1, 2), weight, bias, stride, padding=1).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (48, 33), (5, 70), (80, 3)])
def test_a_convolution_over_tiles(inputs: int, outputs: int) -> None:
    source, (weight, bias, own) = random(2, 9, 19, inputs), weights(inputs, outputs)
    target = torch.empty(2, 9, 19, outputs)
    convolve(in_tiles, source, own, target, relu=True)
    assert torch.allclose(target, right(source, weight, bias).relu(), atol=1e-5)


def test_chosen_channels_are_read_and_others_added_to_in_place() -> None:
    wide, (weight, bias, own), scale = random(2, 6, 11, 24), weights(20, 6), random(6)
    take = torch.arange(24).flip(0)[:20]
    put = torch.tensor([7, 0, 3, 8, 1, 5])
    stream = random(2, 6, 11, 9)
    expected = stream.index_add(-1, put, right(wide[..., take], weight, bias) * scale)
    arguments = {"take_I": take.int(), "put_O": put.int(), "skip_BHWC": stream, "scale_L": padded(scale, own)}
    convolve(in_tiles, wide, own, stream, **arguments)
    assert torch.allclose(stream, expected, atol=1e-5)


def test_the_head_takes_grey_off_and_pads_with_zeros_after() -> None:
    image, (weight, bias, own) = random(2, 10, 22, 3), weights(3, 7)
    target = torch.empty(2, 5, 11, 7)
    convolve(in_tiles, image, own, target, stride=2, grey=0.5)
    assert torch.allclose(target, right(image - 0.5, weight, bias, 2), atol=1e-5)


def test_outputs_become_pixels() -> None:
    source, (weight, bias, own) = random(2, 6, 11, 16), weights(16, 20)
    target = torch.empty(2, 12, 22, 5)
    convolve(in_tiles, source, own, target, shuffle=True)
    rows = right(source, weight, bias).view(2, 6, 11, 2, 2, 5)
    assert torch.allclose(target, rows.permute(0, 1, 3, 2, 4, 5).reshape(2, 12, 22, 5), atol=1e-5)


@pytest.mark.parametrize("middle", [16, 9, 35])
@pytest.mark.parametrize("channels", [16, 20])
def test_a_block_over_tiles(channels: int, middle: int) -> None:
    """Biases are not zero, so that hidden numbers beyond the image's border would be seen if they were not."""
    wide, scale = random(2, 7, 15, channels + 4), random(channels)
    take = torch.arange(channels + 4).flip(0)[:channels]
    weight1, bias1, first = weights(channels, middle)
    weight2, bias2, second = weights(middle, channels, first.block_out)
    source, target = wide[..., take], torch.empty(2, 7, 15, channels)
    scale_L = padded(scale, second)
    convolve_twice(in_tiles, wide, first, second, target, take_I=take.int(), scale_L=scale_L, add=True)
    expected = source + scale * right(right(source, weight1, bias1).relu(), weight2, bias2)
    assert torch.allclose(target, expected, atol=1e-5)


def test_two_convolutions_from_few_to_three_channels() -> None:
    source, target = random(1, 7, 15, 16), torch.empty(1, 7, 15, 3)
    weight1, bias1, first = weights(16, 10)
    weight2, bias2, second = weights(10, 3, first.block_out)
    convolve_twice(in_tiles, source, first, second, target)
    assert torch.allclose(target, right(right(source, weight1, bias1).relu(), weight2, bias2), atol=1e-5)


@pytest.mark.parametrize("paired", [False, True])
def test_a_tile_writes_its_own_pixels_only(paired: bool) -> None:
    """A GPU's tiles end in any order: none may mend what another has spoilt."""
    source, (_, _, own), target = random(1, 12, 24, 16), weights(16, 16), torch.full((1, 12, 24, 16), torch.nan)
    rows, columns = (SMALL.height - 2, SMALL.width - 2) if paired else (SMALL.height, SMALL.width)

    def first_tile(call: Call) -> None:
        interpreted(replace(call, size=(1, rows, columns)), SMALL)

    if paired:
        convolve_twice(first_tile, source, own, own, target)
    else:
        convolve(first_tile, source, own, target)
    written = ~target.isnan()
    assert written[:, :rows, :columns].all()
    assert int(written.sum()) == rows * columns * 16


def test_the_tiles_of_a_gpu_cover_an_image_once() -> None:
    calls: list[Call] = []
    source, (_, _, own) = random(1, 30, 50, 16), weights(16, 16)
    convolve(calls.append, source, own, torch.empty(1, 30, 50, 16))
    convolve_twice(calls.append, source, own, own, torch.empty(1, 30, 50, 16))
    assert [call.grid(call.tile) for call in calls] == [(4, 4, 1), (4, 3, 1)]
    assert replace(calls[0], size=(3, 1, 1)).grid(SMALL) == (1, 1, 3)
