"""How many blocks of a section to run before the stream goes to memory, so that all take the least time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.numba.weights import KERNEL

TRAVEL = 72
"""Products that could be summed up in the time that it takes to bring a number to memory and back."""

CACHE = 4 * 2**20
"""Bytes of rings and weights that lie in a core's share of the caches."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of a section, and what one of them is on the average.

    Attributes:
        count: of blocks.
        stream, hidden: channels of the stream, and within a block.
        products: per pixel at half resolution.
    """

    count: int
    stream: int
    hidden: float
    products: float

    def together(self, rows: int, width: int, threads: int) -> int:
        """How many to run together.

        Their rings and weights should lie in a cache. Where two threads' rows meet, each does two more rows per block
        that is still to come, or one on the average; the fewer blocks run together, the fewer rows, but the more often
        the stream goes to memory and comes back.

        Args:
            rows, width: of the image, at half resolution.
            threads: that share the rows.
        """
        if not self.count:
            return 1
        own = 4 * self.products + 4 * width * (3 * self.hidden + 2 * self.stream)
        most = CACHE / max(own, 1)
        if threads > 1:
            travel = TRAVEL * self.stream / max(self.products, 1)
            most = min(most, math.sqrt(travel * rows / (2 * (threads - 1))))
        parts = math.ceil(self.count / max(1, round(most)))
        return math.ceil(self.count / parts)


def blocks_of(plan: SectionPlan) -> Blocks:
    """The blocks that begin in a section."""
    hidden = [layer.outputs for layer in plan.layers if layer.role is Role.ENTER]
    products = [KERNEL * layer.outputs * layer.inputs for layer in plan.layers if layer.conv.block is not None]
    count = len(hidden)
    return Blocks(count, len(plan.live), sum(hidden) / max(count, 1), sum(products) / max(count, 1))
