"""How many blocks of a section to run before the stream goes to memory, so that all take the least time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.runtimes.numba.plan import stream_channels
from tatsnet.runtimes.numba.weights import KERNEL, places

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


def blocks_of(convs: Sequence[Conv], pattern: Pattern, incoming: Channels) -> Blocks:
    """The blocks that begin in a section."""
    made = list(zip(convs, places(convs, pattern).values(), strict=True))
    hidden = [place.outputs for conv, place in made if conv.role is Role.ENTER]
    products = [KERNEL * place.outputs * place.inputs for conv, place in made if conv.block is not None]
    stream = len(stream_channels(convs, pattern, incoming))
    count = len(hidden)
    return Blocks(count, stream, sum(hidden) / max(count, 1), sum(products) / max(count, 1))
