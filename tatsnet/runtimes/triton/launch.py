"""How a kernel is run: compiled on an NVIDIA GPU, interpreted with NumPy on a CPU, where its numbers can be checked."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import torch
import triton
import triton.language as tl
from triton.runtime.interpreter import InterpretedFunction

from tatsnet.runtimes.triton import kernels
from tatsnet.runtimes.triton.calls import Call
from tatsnet.runtimes.triton.tiles import Tile, whole

SIZES = ("height", "width")
"""Arguments that vary: a kernel is not compiled anew for sizes that 16 divides."""

STAGES = 1
"""Loads are not prefetched by Triton: its way around the nearest cache would read each number nine times from the next.
Many programs at a time hide their latencies."""

OPERANDS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
"""The precisions that kernels know."""

_one_at_a_time = Lock()
"""The interpreter replaces parts of Triton while it runs."""


@cache
def jit(kernel: str) -> Any:
    """A kernel as Triton compiles it."""
    return triton.jit(do_not_specialize=SIZES)(getattr(kernels, kernel))


def compiled(call: Call) -> None:
    """Run on the current stream of the GPU where the tensors lie."""
    with torch.cuda.device(call.device):
        jit(call.kernel)[call.grid(call.tile)](**parameters(call))


def parameters(call: Call) -> dict[str, Any]:
    """All that a GPU's kernel is given, and how it is compiled."""
    every = constants(call, call.tile, OPERANDS[call.precision])
    return {**call.arguments, **every, "num_warps": call.tile.warps, "num_stages": STAGES}


def interpreted(call: Call, tile: Tile | None = None) -> None:
    """Run on the CPU. Products of any precision are float32: the interpreter keeps bfloat16 as integers.

    Args:
        tile: by default as large as the image or nearly, for interpreting a tile takes some 10 ms however small it is.
    """
    tile = tile or whole(call.size[1] + call.margin, call.size[2] + call.margin)
    with _one_at_a_time:
        kernel = InterpretedFunction(getattr(kernels, call.kernel))
        kernel[call.grid(tile)](**call.arguments, **constants(call, tile, tl.float32))


def constants(call: Call, tile: Tile, operand: Any) -> dict[str, Any]:
    """All that a kernel is compiled for."""
    return {**call.constants, "TILE_H": tile.height, "TILE_W": tile.width, "OPERAND": operand}
