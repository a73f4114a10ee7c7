"""The gated blocks and pair against plain operators: values and every gradient, in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.gated_blocks import gated_blocks, gated_pair

BATCH, WIDTH, SIDE, BLOCKS = 3, 4, 5, 2
POINTS = 3 * BLOCKS + 2


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def gates(*shape: int, searched: bool) -> Tensor:
    (drawn,) = tensors(shape)
    return (drawn > 0).double().requires_grad_(searched)


def convolutions() -> list[tuple[Tensor, Tensor]]:
    shapes = [(WIDTH, WIDTH, 3, 3), (WIDTH,)] * (2 * BLOCKS)
    made = [t.requires_grad_() for t in tensors(*shapes)]
    return list(zip(made[::2], made[1::2], strict=True))


def plain_blocks(stream: Tensor, gates_BNC: Tensor, scales: Tensor, convs: list[tuple[Tensor, Tensor]]) -> Tensor:
    opened = gates_BNC[..., None, None].unbind(1)
    stream = stream * opened[0]
    for k in range(BLOCKS):
        into, mid, out = opened[3 * k + 1 : 3 * k + 4]
        hidden = F.relu(F.conv2d(stream * into, *convs[2 * k], padding=1)) * mid
        stream = stream + out * scales[:, k, :, None, None] * F.conv2d(hidden, *convs[2 * k + 1], padding=1)
    return stream * opened[3 * BLOCKS + 1]


@pytest.mark.parametrize("searched", [True, False])
def test_blocks_are_their_plain_operators(searched: bool) -> None:
    convs = convolutions()
    opened = gates(BATCH, POINTS, WIDTH, searched=searched)
    stream, scales = (t.requires_grad_() for t in tensors((BATCH, WIDTH, SIDE, SIDE), (BATCH, BLOCKS, WIDTH)))
    inputs = [stream, scales, *(t for pair in convs for t in pair), *([opened] if searched else [])]
    made, plain = gated_blocks(stream, opened, scales, convs), plain_blocks(stream, opened, scales, convs)
    assert torch.allclose(made, plain, rtol=1e-12)
    found = torch.autograd.grad((made**2).sum(), inputs)
    expected = torch.autograd.grad((plain**2).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-10)


def test_weights_that_do_not_train_get_no_gradient() -> None:
    convs = [(weight.detach(), bias) for weight, bias in convolutions()]
    opened = gates(BATCH, POINTS, WIDTH, searched=True)
    stream, scales = tensors((BATCH, WIDTH, SIDE, SIDE), (BATCH, BLOCKS, WIDTH))
    gated_blocks(stream, opened, scales, convs).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None and bias.grad is not None for weight, bias in convs)


@pytest.mark.parametrize("searched", [True, False])
def test_a_gated_pair_is_its_plain_operators(searched: bool) -> None:
    gate = gates(BATCH, WIDTH, searched=searched)
    first, second = convolutions()[:2]
    (x,) = (t.requires_grad_() for t in tensors((BATCH, WIDTH, SIDE, SIDE)))
    inputs = [x, *first, *second, *([gate] if searched else [])]
    made = gated_pair(x, gate, first, second)
    plain = F.conv2d(F.relu(F.conv2d(x, *first, padding=1)) * gate[..., None, None], *second, padding=1)
    assert torch.allclose(made, plain, rtol=1e-12)
    found = torch.autograd.grad((made**2).sum(), inputs)
    expected = torch.autograd.grad((plain**2).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-10)


def test_a_closed_gate_still_gets_a_gradient() -> None:
    """The straight-through gate needs to know what opening it would have changed."""
    opened = torch.ones(BATCH, POINTS, WIDTH, dtype=torch.float64)
    opened[:, 2] = 0
    opened.requires_grad_()
    stream, scales = tensors((BATCH, WIDTH, SIDE, SIDE), (BATCH, BLOCKS, WIDTH))
    gated_blocks(stream, opened, scales, convolutions()).sum().backward()  # type: ignore[no-untyped-call]
    assert opened.grad is not None
    assert (opened.grad[:, 2] != 0).all()
