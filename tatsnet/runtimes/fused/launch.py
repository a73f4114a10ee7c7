"""How a kernel is run: compiled on an NVIDIA GPU, interpreted with NumPy on a CPU, where its numbers can be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from tatsnet.runtimes.fused.tiles import Tile, whole

SIZES = ("height", "width")
"""Arguments that vary: a kernel is not compiled anew for sizes that 16 divides."""

STAGES = 1
"""Loads are not prefetched by Triton: its way around the nearest cache would read each number nine times from the next.
Many programs at a time hide their latencies."""

OPERANDS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
"""The precisions that kernels know."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A kernel with all that it is given.

    Attributes:
        kernel: a function of `kernels`.
        arguments: tensors, sizes, and None for what is left out: the kernel's parameters in small letters.
        constants: what it is compiled for: the rest, but for TILE_H, TILE_W and OPERAND.
        precision: of weights and products.
        size: images, rows and columns that tiles cover.
        tile: the one for a GPU.
        margin: rows and columns of a tile that give no result.
    """

    kernel: Callable[..., None]
    arguments: dict[str, Tensor | int | None]
    constants: dict[str, int | float | bool]
    precision: torch.dtype
    size: tuple[int, int, int]
    tile: Tile
    margin: int

    def grid(self, tile: Tile) -> tuple[int, int, int]:
        """Programs along a row of tiles, along a column, and images."""
        images, height, width = self.size
        return -(-width // (tile.width - self.margin)), -(-height // (tile.height - self.margin)), images


Launch = Callable[[Call], None]


@cache
def jit(kernel: Callable[..., None]) -> Any:
    """The kernel as Triton compiles it."""
    return triton.jit(do_not_specialize=SIZES)(kernel)


def constants(call: Call, tile: Tile, operand: Any) -> dict[str, Any]:
    """All that a kernel is compiled for."""
    return {**call.constants, "TILE_H": tile.height, "TILE_W": tile.width, "OPERAND": operand}


def compiled(call: Call) -> None:
    """Run on the current stream of the GPU where the tensors lie."""
    every = constants(call, call.tile, OPERANDS[call.precision])
    jit(call.kernel)[call.grid(call.tile)](**call.arguments, **every, num_warps=call.tile.warps, num_stages=STAGES)


_one_at_a_time = Lock()
"""The interpreter replaces parts of Triton while it runs."""


def interpreted(call: Call, tile: Tile | None = None) -> None:
    """Run on the CPU. Products of any precision are float32: the interpreter keeps bfloat16 as integers.

    Args:
        tile: by default as large as the image or nearly, for interpreting a tile takes some 10 ms however small it is.
    """
    tile = tile or whole(call.size[1] + call.margin, call.size[2] + call.margin)
    with _one_at_a_time:
        kernel = InterpretedFunction(call.kernel)
        kernel[call.grid(tile)](**call.arguments, **constants(call, tile, tl.float32))
