"""How channels are cut into blocks and images into tiles, so that nothing spills out of a GPU's registers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

LEAST = 16
"""Channels of a block: what a matrix unit takes at once."""

PAIRED = {torch.float32: 16, torch.bfloat16: 32, torch.float16: 32}
"""Blocks up to which two convolutions are one kernel. Wider ones are bound by arithmetic, of which a pair has more."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Pixels that a program makes, powers of two, and its warps."""

    height: int
    width: int
    warps: int


def tile_of(block: int, inputs: int, precision: torch.dtype) -> Tile:
    """The tile of a convolution whose outputs are a block so wide, with blocks of so many inputs."""
    if precision == torch.float32:
        return Tile(height=8, width=16, warps=8) if block == LEAST else Tile(height=4, width=8, warps=8)
    if block == LEAST and inputs < 64:
        return Tile(height=16, width=16, warps=4)
    return Tile(height=8, width=16, warps=4 if block == 2 * LEAST else 8)


def pair_tile(block: int, precision: torch.dtype) -> Tile:
    """The tile of what is between two convolutions of blocks so wide."""
    return Tile(height=16, width=16, warps=4 if block == LEAST and precision != torch.float32 else 8)


def whole(height: int, width: int) -> Tile:
    """A tile that holds a whole image, if that is not too large."""
    return Tile(height=min(1 << (height - 1).bit_length(), 64), width=min(1 << (width - 1).bit_length(), 64), warps=1)


def block_in(inputs: int, precision: torch.dtype) -> int:
    """Inputs that are multiplied at once: the largest power of two to 64 that divides them, padded to a multiple of 16.

    In float32 always 16: there are no matrix units for it, and registers hold all that is multiplied at once.
    """
    padded = -(-inputs // LEAST) * LEAST
    return LEAST if precision == torch.float32 else min(padded & -padded, 64) or LEAST


def block_out(outputs: int) -> int:
    """The next power of two, at least 16."""
    return max(LEAST, 1 << (outputs - 1).bit_length()) if outputs else LEAST
