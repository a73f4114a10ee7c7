"""Time per effect of an architecture by a table of measured layers: a search minimises it without running anything.

A table holds for one device, runtime, number of threads, image size and width of network. What a block, the head and
the end (tail, up, out) take depends on how many channels they keep; between the measured numbers it is interpolated.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from tatsnet.network.architecture import Architecture, NetworkConfig, Role
from tatsnet.network.section_plan import SectionPlan, plan_section
from tatsnet.network.slicing import split, travelling

Row = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Measured milliseconds on one image.

    Args:
        device: name of the processor or accelerator.
        runtime: that ran the layers.
        threads: of the runtime.
        size: width and height of the image in pixels.
        width: channels of the super network.
        grid: the measured numbers of channels, rising, from 1 to `width`.
        head_ms: of the head, by its kept outputs.
        block_ms: of a block whose convolutions read and write all channels that travel: a row per number of these, a
            column per number of middle channels.
        end_ms: of tail, up and out together: a row per number of the tail's inputs, a column per kept outputs of up.
        last_ms: of up and out without the tail, by the kept outputs of up.
        some_ms: what a block takes more when it reads and writes only some of the channels that travel: a constant, a
            slope by the channels that it keeps, and one by those that travel.
        image_ms: of encoding an image, beside the layers.
        effect_ms: of an effect, beside the layers.

    Raises:
        ValueError: a grid that does not rise from 1 to the width, a table of another size, a time that is no number
            of at least 0.
    """

    device: str
    runtime: str
    threads: int
    size: tuple[int, int]
    width: int
    grid: tuple[int, ...]
    head_ms: Row
    block_ms: tuple[Row, ...]
    end_ms: tuple[Row, ...]
    last_ms: Row
    some_ms: tuple[float, float, float]
    image_ms: float
    effect_ms: float

    def __post_init__(self) -> None:
        check_grid(self.grid, self.width)
        rows = (self.head_ms, self.last_ms, *self.block_ms, *self.end_ms)
        tables = (self.block_ms, self.end_ms)
        if any(len(row) != len(self.grid) for row in (*rows, *tables)) or len(self.some_ms) != 3:
            raise ValueError(f"the tables must have {len(self.grid)} numbers a side, as the grid has")
        for value in (*(ms for row in rows for ms in row), *self.some_ms, self.image_ms, self.effect_ms):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"times must be at least 0 ms, got {value}")

    def to_json(self) -> dict[str, Any]:
        """The table as plain lists, numbers and strings."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> LatencyTable:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a missing key, a value of the wrong kind, or a table that is not valid.
        """
        try:
            width, height = data["size"]
            constant, kept, travel = data["some_ms"]
            return LatencyTable(
                device=str(data["device"]),
                runtime=str(data["runtime"]),
                threads=int(data["threads"]),
                size=(int(width), int(height)),
                width=int(data["width"]),
                grid=tuple(int(count) for count in data["grid"]),
                head_ms=_row(data["head_ms"]),
                block_ms=tuple(_row(row) for row in data["block_ms"]),
                end_ms=tuple(_row(row) for row in data["end_ms"]),
                last_ms=_row(data["last_ms"]),
                some_ms=(float(constant), float(kept), float(travel)),
                image_ms=float(data["image_ms"]),
                effect_ms=float(data["effect_ms"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a table of latencies: {error!r}") from error


def _row(values: Sequence[Any]) -> Row:
    return tuple(float(value) for value in values)


def check_grid(grid: Sequence[int], width: int) -> None:
    """Refuse numbers of channels that no table can be measured at.

    Raises:
        ValueError: they do not rise from 1 to the network's width.
    """
    rises = all(low < high for low, high in pairwise(grid))
    if len(grid) < 2 or grid[0] != 1 or grid[-1] != width or not rises:
        raise ValueError(f"the grid must rise from 1 to the network's {width} channels, got {list(grid)}")


def predict(table: LatencyTable, architecture: Architecture, effects: int) -> float:
    """Milliseconds per effect when so many are made of one image, the expectation over the architecture's tasks.

    The shared part counts 1/M, as in eq. 4. The controller is left out: its patterns are remembered.

    Args:
        effects: M, at least 1.

    Raises:
        ValueError: fewer than one effect, or a network of another width than the table's.
    """
    if effects < 1:
        raise ValueError(f"effects must be at least 1, got {effects}")
    if architecture.network.width != table.width:
        raise ValueError(f"the table is of {table.width} channels, the network has {architecture.network.width}")
    shared, specific = split(architecture)
    first = architecture.patterns[0]
    once = table.image_ms + section_ms(table, plan_section(shared, first))
    incoming = travelling(shared, first)
    each = [section_ms(table, plan_section(specific, pattern, incoming)) for pattern in architecture.patterns]
    mean = sum(each[index] for _, index in architecture.tasks) / len(architecture.tasks)
    return once / effects + table.effect_ms + mean


def dense_ms(table: LatencyTable, network: NetworkConfig) -> float:
    """Milliseconds per effect of the dense network: every channel, nothing shared.

    Raises:
        ValueError: a network of another width than the table's.
    """
    dense = Architecture(network=network, shared=0, patterns=(network.whole,), tasks=(((0.0, 0.0, 0.0), 0),))
    return predict(table, dense, effects=1)


def section_ms(table: LatencyTable, plan: SectionPlan) -> float:
    """Milliseconds of a section."""
    live = len(plan.live)
    head = blocks = 0.0
    for layer in plan.layers:
        match layer.role:
            case Role.HEAD:
                head = _head_ms(table, layer.outputs)
            case Role.ENTER:
                blocks += _half_ms(table, layer.inputs, layer.outputs, live)
            case Role.LEAVE:
                blocks += _half_ms(table, layer.outputs, layer.inputs, live)
            case Role.TAIL | Role.UP | Role.OUT:
                pass  # measured together
    taking = _some_ms(table, len(plan.take), plan.incoming) / 2
    return head + blocks + taking + _end_ms(table, plan)


def _head_ms(table: LatencyTable, outputs: int) -> float:
    return interpolate(table.grid, (table.head_ms,), 1, outputs) if outputs else 0.0


def _half_ms(table: LatencyTable, stream: int, middle: int, live: int) -> float:
    """Of a block's first or second convolution: half of the block that reads and writes as many channels."""
    if not stream or not middle:
        return 0.0
    return (interpolate(table.grid, table.block_ms, stream, middle) + _some_ms(table, stream, live)) / 2


def _some_ms(table: LatencyTable, kept: int, live: int) -> float:
    constant, per_kept, per_live = table.some_ms
    return constant + per_kept * kept + per_live * live if 0 < kept < live else 0.0


def _end_ms(table: LatencyTable, plan: SectionPlan) -> float:
    """Of what a section holds of tail, up and out."""
    roles = [layer.role for layer in plan.layers]
    tail, up = (len(channels) for channels in plan.pattern[-2:])
    if not up or roles[-1:] not in ([Role.TAIL], [Role.OUT]):
        return 0.0
    last = interpolate(table.grid, (table.last_ms,), 1, up)
    if Role.TAIL not in roles:
        return last
    all_three = interpolate(table.grid, table.end_ms, max(tail, 1), up)
    return all_three if Role.OUT in roles else max(0.0, all_three - last)


def interpolate(grid: Sequence[int], table: Sequence[Sequence[float]], row: int, column: int) -> float:
    """Bilinear between the measured numbers of channels, exact at these.

    Args:
        row, column: numbers of channels within the grid.
    """
    total = 0.0
    for i, own in _neighbours(grid, row):
        for j, other in _neighbours(grid, column):
            total += own * other * table[i][j]
    return total


def _neighbours(grid: Sequence[int], count: int) -> tuple[tuple[int, float], ...]:
    """The places of the measured numbers around a number of channels, with their weights."""
    above = bisect_left(grid, count)
    if grid[above] == count:
        return ((above, 1.0),)
    part = (count - grid[above - 1]) / (grid[above] - grid[above - 1])
    return (above - 1, 1 - part), (above, part)
