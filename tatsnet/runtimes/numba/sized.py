"""What the loops are to do for some rows of an image of a known size: where in memory each row lies, and when.

The rings have as few rows as are still read, so that they stay in a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tatsnet.runtimes.numba import loops
from tatsnet.runtimes.numba.program import Program


class Sized(NamedTuple):
    """A program for some rows of images of one size: what `loops.sweep` takes.

    Attributes:
        stages, buffers, table: of `loops.STAGE`, of `loops.BUFFER`, and integers.
        room: numbers of memory that the rings take.
        zeros: where in it a row of zeros lies, up to its end.
        begin, end: steps.
    """

    stages: loops.Records
    buffers: loops.Records
    table: loops.Integers
    room: int
    zeros: int
    begin: int
    end: int


def sized(program: Program, height: int, width: int, first: int, last: int) -> Sized:
    """A program for the rows `first` to before `last` of a section's results.

    Args:
        height, width: at half resolution, as are the rows.
    """
    delays = _delays(program)
    rows = _needed(program, height, first, last)
    numbers = {name: index for index, name in enumerate(program.rings)}
    strides = {name: _stride(width * rate) for name, (_, rate) in program.rings.items()}
    buffers = np.zeros(len(numbers), loops.BUFFER)
    room = 0
    for (name, (channels, rate)), ring in zip(program.rings.items(), _spans(program, delays), strict=True):
        row = channels * strides[name]
        buffers[numbers[name]] = room + loops.LANES, ring, row, width * rate, height * rate, channels, strides[name]
        room += ring * row
    table: list[int] = []
    stages = np.zeros(len(program.stages), loops.STAGE)
    for index, (stage, own) in enumerate(zip(program.stages, rows, strict=True)):
        places = len(table)
        if isinstance(stage.source, str):
            table += [channel * strides[stage.source] for channel in stage.channels_in if channel is not None]
        else:
            table += [-1 if channel is None else channel for channel in stage.channels_in]
        targets, outs = len(table), len(stage.channels_out)
        if isinstance(stage.into, str):
            table += [channel * strides[stage.into] for channel in stage.channels_out]
        if stage.mode == loops.SHUFFLE:
            outs *= loops.OUTPUTS
        stages[index] = (
            stage.kind, program.rate(stage), delays[index], *own, numbers.get(str(stage.source), stage.source),
            numbers.get(str(stage.into), stage.into), stage.mode, len(stage.channels_in), outs,
            stage.weight, stage.bias, places, targets,
        )  # fmt: skip
    first_rows, last_rows = stages["first"] + stages["delay"], stages["last"] + stages["delay"]
    begin, end = (first_rows // stages["rate"]).min(), (-(-last_rows // stages["rate"])).max()
    zeros = room + loops.LANES
    room += max(channels * strides[name] for name, (channels, _) in program.rings.items())
    return Sized(stages, buffers, np.array([*table, 0], np.int64), room, zeros, int(begin), int(end))


def _stride(width: int) -> int:
    """From a channel's row to the next one's: room for zeros before it and for a tile that reaches beyond its end.

    It is an odd number of vectors, so that the same pixel of all channels is not in one and the same set of a cache.
    """
    return loops.LANES * ((loops.vectors_of(width) + 2 * loops.WIDE + 2) | 1)


def _delays(program: Program) -> list[int]:
    """By how many rows of its own each stage is behind: a convolution needs the row below the one that it makes."""
    ready: dict[str | int, int] = {}
    delays = []
    for stage in program.stages:
        if stage.kind == loops.LOAD:
            delay = ready.setdefault(stage.into, 0)
        elif stage.kind == loops.SAVE:
            delay = ready[stage.source]
        else:
            delay = ready[stage.source] + 1
            ready[stage.into] = 2 * delay if stage.mode == loops.SHUFFLE else delay
        delays.append(delay)
    return delays


def _needed(program: Program, height: int, first: int, last: int) -> list[tuple[int, int]]:
    """The rows that each stage does, so that the section's results have theirs."""
    need: dict[str | int, tuple[int, int]] = {}
    rows: list[tuple[int, int]] = []
    for stage in reversed(program.stages):
        rate = program.rate(stage)
        if stage.kind == loops.SAVE:
            own = need[stage.source] = first * rate, last * rate
        else:
            own = need.get(stage.into, (0, 0))
        if stage.mode == loops.SHUFFLE:
            own = own[0] // 2, -(-own[1] // 2)
        if stage.kind == loops.CONV and own[0] < own[1]:
            before = need.get(stage.source, own)
            need[stage.source] = max(min(own[0] - 1, before[0]), 0), min(max(own[1] + 1, before[1]), height * rate)
        rows.append(own)
    return rows[::-1]


def _spans(program: Program, delays: Sequence[int]) -> Iterator[int]:
    """Rows of each ring, in their order, from the newest to the oldest that something still reads."""
    newest: dict[str | int, int] = {}
    oldest: dict[str | int, int] = {}
    # Rows are counted within a step: the newest is written by the first writer, the oldest read by the last reader.
    for stage, delay in zip(program.stages, delays, strict=True):
        if stage.kind != loops.SAVE:
            written = 2 * delay if stage.mode == loops.SHUFFLE else delay
            newest.setdefault(stage.into, program.rings[str(stage.into)][1] - 1 - written)
            oldest[stage.into] = min(oldest.get(stage.into, -written), -written)
        if stage.kind != loops.LOAD:
            read = -delay - (stage.kind == loops.CONV)
            oldest[stage.source] = min(oldest.get(stage.source, read), read)
    return (newest[name] - oldest[name] + 1 for name in program.rings)
