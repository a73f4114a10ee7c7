"""How a training computes: in which precision, and whether its blocks are compiled.

Convolutions may run in bfloat16. Their parameters, the gates, the residual scales and the last addition stay float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

F = TypeVar("F", bound=Callable[..., Tensor])


@dataclass(frozen=True)
class Compute:
    """How the super network computes.

    Args:
        dtype: of the convolutions; None is the image's.
        compiled: blocks are compiled by torch.compile, for a GPU.
    """

    dtype: torch.dtype | None = None
    compiled: bool = False

    def kernel(self, function: F) -> F:
        """The function, or one that does the same in fewer kernels."""
        return _compile(function) if self.compiled else function


EXACT = Compute()


@cache
def _compile(function: Callable[..., Tensor]) -> Any:
    return torch.compile(function, dynamic=False)


def cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    """Copies in another precision, all at once; gradients come back in the tensors' own."""
    if all(tensor.dtype == dtype for tensor in tensors):
        return tensors
    made: tuple[Tensor, ...] = _Cast.apply(dtype, *tensors)  # type: ignore[no-untyped-call]
    return made


class _Cast(torch.autograd.Function):
    """One step of autograd, and few kernels, in place of one per tensor."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = tensors[0].dtype
        made = tuple(torch.empty_like(tensor, dtype=dtype) for tensor in tensors)
        torch._foreach_copy_(made, tensors)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        made = tuple(torch.empty_like(grad, dtype=ctx.dtype) for grad in grads)
        torch._foreach_copy_(made, grads)
        return (None, *made)
