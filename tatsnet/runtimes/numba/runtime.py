"""Compiled loops, on the CPU: the fastest that an extracted network has, and the one that needs the least memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.network.supernet import MEAN_COLOUR
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.numba import loops
from tatsnet.runtimes.numba.cuts import blocks_of
from tatsnet.runtimes.numba.program import HIDDEN, STREAM, Program, programs
from tatsnet.runtimes.numba.sized import Sized, sized
from tatsnet.runtimes.numba.thread_pool import ThreadPool, wait_for
from tatsnet.runtimes.numba.weights import Scaled, packed
from tatsnet.runtimes.torch.layers import State
from tatsnet.system.allocator import trim_above

SIZES = 4
"""Of images for which what is to be done is kept."""

ROWS = 8
"""Rows at half resolution that a thread has at least."""

LARGE, HELD = 2**21, 3 * 2**30
"""Above so many pixels an effect gives freed memory back, if the process holds more than so many bytes: each new
pattern's weights come to lie in a block that the effect before it freed, so that the next one takes another."""

Pair = tuple[Tensor, Tensor]
"""A stream and a hidden tensor."""


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
        self._pool = ThreadPool(threads)

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """A section; its weights are packed for the loops.

        Raises:
            ValueError: weights that are not float32.
        """
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tensor.dtype}: this runtime takes float32 only")
        return RowsSection(plan, tensors, self._pool, self.threads)

    def add_scaled(self, image_BCHW: Tensor, scale_C: Tensor, hidden_BCHW: Tensor) -> Tensor:
        """The last step of the network; the threads share the rows.

        Raises:
            ValueError: an image and a hidden tensor of different shapes: the loops look at no edge.
        """
        if image_BCHW.shape != hidden_BCHW.shape:
            raise ValueError(f"the image is {tuple(image_BCHW.shape)}, what is added {tuple(hidden_BCHW.shape)}")
        restored_BCHW = image_BCHW.new_empty(image_BCHW.shape)
        tensors = image_BCHW.contiguous(), hidden_BCHW.contiguous(), restored_BCHW
        edges = _edges(image_BCHW.shape[2], _busy(self.threads, image_BCHW.shape[2] // 2))
        for image, hidden, restored in zip(*(tensor.numpy() for tensor in tensors), strict=True):
            scaled = partial(loops.add_scaled, image, scale_C.numpy(), hidden, restored)
            self._pool.run([partial(scaled, first, last) for first, last in edges])
        if image_BCHW.shape[-2] * image_BCHW.shape[-1] > LARGE:
            trim_above(HELD)
        return restored_BCHW


class RowsSection:
    """Consecutive convolutions; it equals `Section` of the same arguments."""

    def __init__(
        self,
        plan: SectionPlan,
        tensors: Mapping[str, Tensor],
        pool: ThreadPool,
        threads: int,
    ) -> None:
        self._plan, self._pool, self._threads = plan, pool, threads
        self._works = lru_cache(SIZES)(partial(_works, plan))
        self._weights = _weights(plan, tensors)

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions."""
        if not self._plan.layers:
            return state
        image, stream, hidden, _ = state
        rows, width = image.shape[2] // 2, image.shape[3] // 2
        if self._plan.has_head:
            stream = image
        parts, shares = self._works(rows, width, _busy(self._threads, rows))
        parts[0].check((stream, hidden), rows, width)
        tensors = [(stream, hidden), *_results(parts, image)]
        weights = self._weights(task_D)
        for one in range(len(image)):
            given = [(pair[STREAM][one], pair[HIDDEN][one]) for pair in tensors]
            counter = np.zeros(1, np.int64)
            works = [partial(_sweep_all, share, weights, given, counter, len(shares)) for share in shares]
            self._pool.run(works)
        return State(image, *tensors[-1], True)


def _weights(plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Callable[[Tensor], loops.Floats]:
    """The packed weights, by the task where it moves their residual scales."""
    if not any(name.endswith(".scale_weight") for name in tensors):
        always = packed(plan, tensors)
        return lambda task_D: always
    return Scaled(plan, tensors)


def _works(plan: SectionPlan, height: int, width: int, threads: int) -> tuple[list[Program], list[list[Sized]]]:
    """The parts of a section, and what each thread does of every part."""
    parts = programs(plan, blocks_of(plan).together(height, width, threads))
    return parts, [
        [sized(part, height, width, first, last) for part in parts] for first, last in _edges(height, threads)
    ]


def _busy(threads: int, rows: int) -> int:
    """How many threads share so many rows at half resolution."""
    return max(1, min(threads, rows // ROWS))


def _edges(rows: int, threads: int) -> list[tuple[int, int]]:
    """The first row of each thread, and that after its last."""
    return list(pairwise(rows * k // threads for k in range(threads + 1)))


def _results(parts: Sequence[Program], image_BCHW: Tensor) -> list[Pair]:
    """Memory for what each part makes: every other part's stream lies in the same place."""
    batch, _, height, width = image_BCHW.shape
    made: list[Pair] = []
    for part in parts:
        half, size = (height // 2, width // 2), (height, width) if part.full else (height // 2, width // 2)
        hidden = image_BCHW.new_empty((batch, part.makes[HIDDEN], *size))
        is_like = len(made) > 1 and made[-2][STREAM].shape[1] == part.makes[STREAM]
        stream = made[-2][STREAM] if is_like else image_BCHW.new_empty((batch, part.makes[STREAM], *half))
        made.append((stream, hidden))
    return made


def _sweep_all(
    share: Sequence[Sized],
    weights: loops.Floats,
    tensors: Sequence[Pair],
    counter: loops.Integers,
    threads: int,
    begun: loops.Integers,
) -> None:
    """One thread's rows of all parts; before each the threads wait for one another."""
    try:
        for index, own in enumerate(share):
            wait_for(counter, index * threads)
            read, made = tensors[index : index + 2]
            _sweep(own, weights, read, made, np.zeros(1, np.int64) if index else begun, counter)
    except BaseException:
        counter[0] = len(share) * threads  # nobody waits for what will not come
        raise


def _sweep(
    given: Sized, weights: loops.Floats, read: Pair, made: Pair, begun: loops.Integers, arrived: loops.Integers
) -> None:
    """Some rows of a part's results."""
    memory = _room(given.room)
    sources, read_strides = _flat(read)
    results, made_strides = _flat(made)
    loops.sweep(
        given.stages, given.buffers, given.table, weights, memory, given.zeros,
        sources, read_strides, results, made_strides, given.begin, given.end, begun, arrived, MEAN_COLOUR,
    )  # fmt: skip


def _room(numbers: int) -> loops.Floats:
    """Memory of any content."""
    return np.empty(numbers, np.float32)


def _flat(tensors: Pair) -> tuple[tuple[loops.Floats, loops.Floats], loops.Integers]:
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
