"""A kernel with all that it is given, before anything runs it; importing this needs no Triton."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tatsnet.runtimes.triton.tiles import Tile


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """A call of a kernel.

    Attributes:
        kernel: its name in `kernels`.
        arguments: tensors, sizes, and None for what is left out: the kernel's parameters in small letters.
        constants: what it is compiled for: the rest, but for TILE_H, TILE_W and OPERAND.
        precision: of weights and products.
        size: images, rows and columns that tiles cover.
        tile: the one for a GPU.
        margin: rows and columns of a tile that give no result.
    """

    kernel: Literal["convolution", "pair"]
    arguments: dict[str, Tensor | int | None]
    constants: dict[str, int | float | bool]
    precision: torch.dtype
    size: tuple[int, int, int]
    tile: Tile
    margin: int

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return next(given.device for given in self.arguments.values() if isinstance(given, Tensor))

    def grid(self, tile: Tile) -> tuple[int, int, int]:
        """Programs along a row of tiles, along a column, and images."""
        images, height, width = self.size
        return -(-width // (tile.width - self.margin)), -(-height // (tile.height - self.margin)), images


Launch = Callable[[Call], None]
"""Runs a call; its results are there for whatever is launched after it."""
