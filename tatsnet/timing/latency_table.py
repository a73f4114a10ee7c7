"""Measures a `LatencyTable` through a runtime's own compiled sections.

A block is measured as what a chain of several takes more than one alone, divided: what a call and its inputs and
outputs take does not count. A runtime joins a block's convolutions with their ReLU and addition, so a block is the
least that is measured; each convolution is credited with half of it. Residual scales are in the weights, as for an
effect of a known task.

Shapes: B batch, C channels, H height, W width, D degradation types (3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, product

import numpy as np
import torch
from torch import Tensor

from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import Conv, NetworkConfig, Pattern, convolutions, gather
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, with_scales
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes import Runtime
from tatsnet.runtimes.torch.layers import start
from tatsnet.system.files import Tensors
from tatsnet.timing.latency_model import LatencyTable, Row, check_grid
from tatsnet.timing.measure import Timing, Work, measure, threads
from tatsnet.timing.synthetic import random_parts

LINKS = 4
"""So many blocks of a chain are measured, beside the one that is taken off."""

EFFECTS = 9
"""So many effects are made in a row, as an image is asked for many, to measure what one takes beside the layers."""

Clock = Callable[[], float]
Report = Callable[[int, int, str], None]


def default_grid(width: int) -> tuple[int, ...]:
    """Numbers of channels to measure at: every quarter of the width, and one more than it.

    Runtimes compute channels in runs of 8 or 16: 33 take as long as 40 or 48, not as 32.
    """
    quarters = [width * part // 4 for part in range(5)]
    return tuple(sorted({*quarters[1:], *(count + 1 for count in quarters[:-1])}))


def measure_table(
    network: NetworkConfig,
    runtime: Runtime,
    size: tuple[int, int],
    *,
    device: str,
    cpu_threads: int,
    grid: Sequence[int] | None = None,
    rounds: int = 7,
    report: Report = lambda done, total, name: None,
    clock: Clock = time.perf_counter,
) -> LatencyTable:
    """Measure a table; every section in turn, round by round.

    Args:
        network, runtime, size, grid: as of `Sections`.
        device: name of the processor, for the record.
        cpu_threads: of the runtime, for the record; PyTorch uses so many within.
        rounds: counted rounds, at least 1.
        report: is told how many of how many measurements are done, and the next one's name.
        clock: in seconds; `time.process_time` is a better one for a single thread on a busy machine.

    Raises:
        ValueError: from `Sections`; no round.
    """
    with threads(cpu_threads):
        sections = Sections(network, runtime, size, grid)
        found = measure(sections.works, rounds, _counted(report, len(sections.works) * (1 + rounds)), clock)
    return sections.table(found, device, cpu_threads)


class Sections:
    """The sections of a table, to be timed, and the table made of their times.

    Args:
        network: its width counts.
        runtime: what runs them.
        size: width and height of the image in pixels, even.
        grid: numbers of channels, rising from 1 to the width; `default_grid` by default.

    Attributes:
        works: by name.

    Raises:
        ValueError: such a grid, a size that is not even, weights that the runtime does not know.
    """

    def __init__(
        self, network: NetworkConfig, runtime: Runtime, size: tuple[int, int], grid: Sequence[int] | None = None
    ) -> None:
        self._grid = default_grid(network.width) if grid is None else tuple(grid)
        check_grid(self._grid, network.width)
        if size[0] % 2 or size[1] % 2:
            raise ValueError(f"the image's sizes must be even, got {size[0]}x{size[1]}")
        self._width, self._runtime, self._size = network.width, runtime, size
        self._places = list(product(self._grid, self._grid))
        self._some = _some(self._grid)
        self._middle = self._grid[len(self._grid) // 2]
        self.works = self._make()

    def _make(self) -> dict[str, Work]:
        probe = _Probe(self._width, self._runtime, self._size)
        works = {f"head {count}": probe.head(count) for count in self._grid}
        works |= {f"last {count}": probe.last(count) for count in self._grid}
        for row, column in self._places:
            works[f"block {row} {column}"] = probe.blocks(row, column, row, 1 + LINKS)
            works[f"one block {row} {column}"] = probe.blocks(row, column, row, 1)
            works[f"end {row} {column}"] = probe.end(row, column)
        for kept, travel in self._some:
            works[f"some {kept} {travel}"] = probe.blocks(kept, self._middle, travel, 1 + LINKS)
            works[f"one some {kept} {travel}"] = probe.blocks(kept, self._middle, travel, 1)
        works["image"] = _encoding(_thin(self._width, False, self._runtime), probe.image)
        works["effect"] = _effect(_thin(self._width, True, self._runtime), probe.image)
        return works

    def table(self, found: Mapping[str, Timing], device: str, cpu_threads: int) -> LatencyTable:
        """The table of the works' times."""
        ms = {name: timing.ms_per_effect for name, timing in found.items()}

        def link(name: str, row: int, column: int) -> float:
            return max(0.0, ms[f"{name} {row} {column}"] - ms[f"one {name} {row} {column}"]) / LINKS

        def rows(of: Callable[[int, int], float]) -> tuple[Row, ...]:
            return tuple(tuple(of(row, column) for column in self._grid) for row in self._grid)

        more = [max(0.0, link("some", k, t) - link("block", k, self._middle)) for k, t in self._some]
        return LatencyTable(
            device=device,
            runtime=self._runtime.name,
            threads=cpu_threads,
            size=self._size,
            width=self._width,
            grid=self._grid,
            head_ms=tuple(ms[f"head {count}"] for count in self._grid),
            block_ms=rows(partial(link, "block")),
            end_ms=rows(lambda row, column: ms[f"end {row} {column}"]),
            last_ms=tuple(ms[f"last {count}"] for count in self._grid),
            some_ms=fit_some(self._some, more),
            image_ms=ms["image"],
            effect_ms=ms["effect"],
        )


def _counted(report: Report, total: int) -> Callable[[str], None]:
    done = count()
    return lambda name: report(next(done), total, name)


def _some(grid: Sequence[int]) -> list[tuple[int, int]]:
    """A few pairs of kept and travelling channels."""
    few = sorted({grid[1], grid[len(grid) // 2], grid[-1]})
    return [(kept, travel) for kept in (grid[0], *few[:-1]) for travel in few if kept < travel]


def fit_some(places: Sequence[tuple[int, int]], more_ms: Sequence[float]) -> tuple[float, float, float]:
    """What gathering and scattering takes, as a constant and slopes by kept and travelling channels, none below 0.

    Least squares; a factor that would be negative is left out.
    """
    rows = np.array([(1.0, kept, travel) for kept, travel in places])
    factors = np.zeros(3)
    columns = [0, 1, 2]
    while columns:
        found, *_ = np.linalg.lstsq(rows[:, columns], np.array(more_ms), rcond=None)
        if min(found) >= 0:
            factors[columns] = found
            break
        columns.pop(int(np.argmin(found)))
    return float(factors[0]), float(factors[1]), float(factors[2])


class _Probe:
    """Sections to time, with the weights of a random network; each with the state that it starts from."""

    def __init__(self, width: int, runtime: Runtime, size: tuple[int, int]) -> None:
        self._network = NetworkConfig(width=width, blocks=1 + LINKS)
        self._runtime = runtime
        generator = torch.Generator().manual_seed(0)
        self._weights = SuperNetwork(self._network, generator).state_dict()
        self._convs = convolutions(self._network)
        self.image = torch.rand(1, 3, size[1], size[0], generator=generator).to(runtime.device)
        self._stream = self.image.new_full((1, width, size[1] // 2, size[0] // 2), 0.5)
        hidden = self.image.new_full((1, width // 4, size[1], size[0]), 0.5)
        self._hidden = hidden.contiguous(memory_format=torch.channels_last)
        self._task = torch.tensor(GRID[0], device=runtime.device)

    def head(self, outputs: int) -> Work:
        return self._work([self._convs[0]], [range(outputs)] + [()] * (self._network.points - 1), 0)

    def blocks(self, stream: int, middle: int, travel: int, count: int) -> Work:
        """So many blocks that keep `stream` of the channels that travel, each block others."""
        points: list[Sequence[int]] = [range(travel)]
        for block in range(self._network.blocks):
            kept = sorted((block + channel * travel // stream) % travel for channel in range(stream))
            points += [kept, range(middle), kept]
        return self._work(self._convs[1 : 1 + 2 * count], [*points, (), ()], travel)

    def end(self, tail: int, up: int) -> Work:
        points = [()] * (self._network.points - 2) + [range(tail), range(up)]
        return self._work(self._convs[-3:], points, tail)

    def last(self, up: int) -> Work:
        return self._work(self._convs[-2:], [()] * (self._network.points - 1) + [range(up)], 0, self._hidden)

    def _work(
        self, convs: Sequence[Conv], points: Sequence[Sequence[int]], incoming: int, hidden: Tensor | None = None
    ) -> Work:
        pattern: Pattern = tuple(tuple(point) for point in points)
        tensors: Tensors = slice_section(self._weights, self._network, convs, pattern, shared=False)
        tensors = with_scales(tensors, GRID[0])
        section = self._runtime.compile(plan_section(convs, pattern, tuple(range(incoming))), tensors)
        stream = self._stream[:, :incoming]
        state = start(self.image)._replace(stream_BCHW=stream, owned=False)
        if hidden is not None:
            state = state._replace(hidden_BCHW=hidden)

        @torch.inference_mode()
        def work() -> int:
            section(state, self._task)
            _wait(self._runtime)
            return 1

        return work


def _encoding(network: ExtractedNetwork, image_BCHW: Tensor) -> Work:
    """Encoding where nothing is shared: what it takes beside the layers."""

    def work() -> int:
        network.encode(image_BCHW)
        _wait(network.runtime)
        return 1

    return work


def _effect(network: ExtractedNetwork, image_BCHW: Tensor) -> Work:
    """An effect where all is shared: what it takes beside the layers."""
    encoded, task = network.encode(image_BCHW), GRID[0]
    network.prepare([task])

    def work() -> int:
        for _ in range(EFFECTS):
            network.effect(encoded, task)
        _wait(network.runtime)
        return EFFECTS

    return work


def _thin(width: int, shared: bool, runtime: Runtime) -> ExtractedNetwork:
    """A network of one channel that shares all or nothing."""
    network = NetworkConfig(width=width, blocks=1)
    pattern: Pattern = ((0,),) * network.points
    return ExtractedNetwork(
        random_parts(gather(network, network.points if shared else 0, [(GRID[0], pattern)])), runtime=runtime
    )


def _wait(runtime: Runtime) -> None:
    if runtime.device.type == "cuda":
        torch.cuda.synchronize()
