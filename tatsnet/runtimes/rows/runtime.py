"""Compiled loops, on the CPU: the fastest that an extracted network has, and the one that needs the least memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.architecture import Channels, Conv, Pattern
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.rows import loops
from tatsnet.runtimes.rows.crew import Crew, wait_for
from tatsnet.runtimes.rows.plan import HIDDEN, STREAM, Plan, Sized, plans, sized
from tatsnet.slicing import with_scales
from tatsnet.steps import State
from tatsnet.supernet import MEAN_COLOUR

EDGE = 0.6
"""Blocks that could be run in the time that it takes to bring a stream to memory and back."""

PLANS = 4
"""Of a section that are kept, for images of several sizes."""

SIZES = 64
"""Of images and their parts, of which the places in memory are kept."""

ROWS = 8
"""Rows at half resolution that a thread has at least."""


class NumbaRuntime:
    """Runs sections row by row.

    Args:
        threads: that share the rows of an image, at least 1.
    """

    name = "numba"
    compiles = False
    device = torch.device("cpu")
    image_layout = torch.contiguous_format

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._crew = Crew(threads)

    def compile(
        self, convs: Sequence[Conv], pattern: Pattern, incoming: Channels, tensors: Mapping[str, Tensor]
    ) -> Compiled:
        """A section; its weights are packed for the loops.

        Raises:
            ValueError: weights that are not float32.
        """
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tensor.dtype}: this runtime takes float32 only")
        return RowsSection(convs, pattern, incoming, tensors, self._crew, self.threads)


class RowsSection:
    """Consecutive convolutions; it equals `Section` of the same arguments."""

    def __init__(
        self,
        convs: Sequence[Conv],
        pattern: Pattern,
        incoming: Channels,
        tensors: Mapping[str, Tensor],
        crew: Crew,
        threads: int,
    ) -> None:
        self._convs, self._pattern, self._incoming, self._tensors = convs, pattern, incoming, tensors
        self._crew, self._threads = crew, threads
        self._is_scaled = any(name.endswith(".scale_weight") for name in tensors)
        self._plans = lru_cache(PLANS)(partial(plans, convs, pattern, incoming, tensors))
        self._sized = lru_cache(SIZES)(sized)
        self._parts(sys.maxsize, torch.zeros(3))

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions."""
        if not self._convs:
            return state
        image, stream, hidden, _ = state
        rows = image.shape[2] // 2
        threads = max(1, min(self._threads, rows // ROWS))
        if self._convs[0].name == "head":
            stream = F.pixel_unshuffle(image - MEAN_COLOUR, 2)
        parts = self._parts(blocks_together(rows, threads), task_D)
        made = [self._made(part, image) for part in parts]
        for one in range(len(image)):
            tensors = [tuple(tensor[one] for tensor in pair) for pair in ((stream, hidden), *made)]
            self._sweep(parts, tensors, rows, image.shape[3] // 2, threads)
        return State(image, *made[-1], True)

    def _parts(self, blocks: int, task_D: Tensor) -> list[Plan]:
        if not self._is_scaled:
            return self._plans(blocks)
        tensors = with_scales(self._tensors, task_D.tolist())
        return plans(self._convs, self._pattern, self._incoming, tensors, blocks)

    def _made(self, plan: Plan, image: Tensor) -> tuple[Tensor, Tensor]:
        batch, _, height, width = image.shape
        full = height, width
        size = full if plan.full else (height // 2, width // 2)
        return (
            image.new_empty((batch, plan.makes[STREAM], height // 2, width // 2)),
            image.new_empty((batch, plan.makes[HIDDEN], *size)),
        )

    def _sweep(
        self, parts: Sequence[Plan], tensors: Sequence[tuple[Tensor, ...]], height: int, width: int, threads: int
    ) -> None:
        """Run the parts on one image; `tensors` are what the first reads, then what each makes."""
        edges = [height * k // threads for k in range(threads + 1)]
        works = [
            [(part, self._sized(part, height, width, first, last)) for part in parts] for first, last in pairwise(edges)
        ]
        for part, read in zip(parts, tensors, strict=False):
            part.check(read, height, width)
        counter = np.zeros(1, np.int64)
        self._crew.run([partial(_sweep_all, work, tensors, counter, threads) for work in works])


def blocks_together(rows: int, threads: int) -> int:
    """How many blocks to run before the stream goes to memory, so that all take the least time.

    Where two threads' rows meet, each does two more rows per block that is still to come, or one on the average; the
    fewer blocks run together, the fewer rows, but the more often the stream goes to memory and comes back.

    Args:
        rows: of the image, at half resolution.
        threads: that share them.
    """
    if threads == 1:
        return sys.maxsize
    return max(1, round(math.sqrt(EDGE * rows / (2 * (threads - 1)))))


def _sweep_all(
    work: Sequence[tuple[Plan, Sized]],
    tensors: Sequence[tuple[Tensor, ...]],
    counter: loops.Integers,
    threads: int,
    begun: loops.Integers,
) -> None:
    """One thread's rows of all parts; before each the threads wait for one another."""
    try:
        for index, (plan, own) in enumerate(work):
            wait_for(counter, index * threads)
            _sweep(plan, own, tensors[index], tensors[index + 1], np.zeros(1, np.int64) if index else begun, counter)
    except BaseException:
        counter[0] = len(work) * threads  # nobody waits for what will not come
        raise


def _sweep(
    plan: Plan,
    given: Sized,
    read: tuple[Tensor, ...],
    made: tuple[Tensor, ...],
    begun: loops.Integers,
    arrived: loops.Integers,
) -> None:
    """Some rows of a part's results."""
    memory = _room(given.room)
    sources, read_strides = _flat(read)
    results, made_strides = _flat(made)
    loops.sweep(
        given.stages, given.buffers, given.table, plan.weights, memory, given.zeros,
        sources, read_strides, results, made_strides, given.begin, given.end, begun, arrived,
    )  # fmt: skip


def _room(numbers: int) -> loops.Floats:
    """Memory of any content."""
    return np.empty(numbers, np.float32)


def _flat(tensors: tuple[Tensor, ...]) -> tuple[tuple[loops.Floats, loops.Floats], loops.Integers]:
    """Tensors (C x H x W) as plain numbers, and from each to its next row and channel."""
    flat, strides = [], np.zeros((2, 2), np.int64)
    for index, tensor in enumerate(tensors):
        if not tensor.numel():
            flat.append(np.zeros(1, np.float32))
            continue
        own = tensor if tensor.stride(2) == 1 else tensor.contiguous()
        span = 1 + sum((size - 1) * stride for size, stride in zip(own.shape, own.stride(), strict=True))
        flat.append(own.as_strided((span,), (1,)).numpy())
        strides[index] = own.stride(1), own.stride(0)
    return (flat[0], flat[1]), strides
