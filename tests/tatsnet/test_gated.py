"""The gated block and ReLU against the same made of plain operators: values and every gradient, in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tatsnet.gated import gated_block, gated_relu

BATCH, WIDTH, SIDE = 3, 4, 5


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def gates(searched: bool) -> list[Tensor]:
    drawn = tensors((BATCH, WIDTH, 1, 1), (BATCH, WIDTH, 1, 1))
    return [(gate > 0).double().requires_grad_(searched) for gate in drawn]


@pytest.mark.parametrize("searched", [True, False])
def test_a_block_is_its_plain_operators(searched: bool) -> None:
    conv1, conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1).double() for _ in range(2))
    into, mid = gates(searched)
    stream, scale = (t.requires_grad_() for t in tensors((BATCH, WIDTH, SIDE, SIDE), (BATCH, WIDTH, 1, 1)))
    inputs = [stream, scale, *conv1.parameters(), *conv2.parameters(), *([into, mid] if searched else [])]
    made = gated_block(stream, into, mid, scale, conv1, conv2)
    plain = stream + scale * conv2(F.relu(conv1(stream * into)) * mid)
    assert torch.allclose(made, plain, atol=1e-12)
    found = torch.autograd.grad((made**2).sum(), inputs)
    expected = torch.autograd.grad((plain**2).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("searched", [True, False])
def test_a_gated_relu_is_its_plain_operators(searched: bool) -> None:
    gate = gates(searched)[0]
    (x,) = (t.requires_grad_() for t in tensors((BATCH, WIDTH, SIDE, SIDE)))
    inputs = [x, *([gate] if searched else [])]
    made, plain = gated_relu(2 * x, gate), F.relu(2 * x) * gate
    assert torch.equal(made, plain)
    found = torch.autograd.grad((made**3 + made).sum(), inputs)
    expected = torch.autograd.grad((plain**3 + plain).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_a_closed_gate_still_gets_a_gradient() -> None:
    """The straight-through gate needs to know what opening it would have changed."""
    conv1, conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1).double() for _ in range(2))
    closed = torch.zeros(BATCH, WIDTH, 1, 1, dtype=torch.float64, requires_grad=True)
    (stream,) = tensors((BATCH, WIDTH, SIDE, SIDE))
    opened = torch.ones_like(closed)
    gated_block(stream, opened, closed, opened, conv1, conv2).sum().backward()  # type: ignore[no-untyped-call]
    assert closed.grad is not None
    assert (closed.grad != 0).all()
