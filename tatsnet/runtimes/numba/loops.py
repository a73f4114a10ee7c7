"""A section's convolutions in compiled loops: row after row, each as soon as the rows that it reads are there.

The innermost loop is a 3x3 convolution of a few outputs over a few vectors of a row, held in registers.

A row lies channel after channel, each a run of pixels, so that a vector is some pixels of one channel: any number of
channels fills every lane, and a choice of channels is a choice of addresses, with nothing to gather or scatter. What
lies between two convolutions is a ring of a few rows, which a cache holds.

One module, because numba's cache on disk knows of one file only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic

_FEATURES = config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()  # type: ignore[attr-defined]

LANES = 16 if "+avx512f" in _FEATURES.split(",") else 8
"""Numbers in a vector."""

WIDE = 6 if LANES == 16 else 3
"""Vectors of a tile, where a row is long enough for that."""

OUTPUTS = 4
"""Outputs of a tile: with WIDE vectors each they leave registers for what is read."""

STORE, RELU, ADD, SHUFFLE = range(4)
"""What becomes of a convolution's sums: they are kept; or what is positive of them; or they are added to what is there;
or four outputs become the four pixels of a 2x2 square."""

LOAD, CONV, SAVE = range(3)
"""What a stage does with a row: brings it from a tensor, makes it, takes it to a tensor."""

UNSHUFFLE = 4
"""How an image is brought, after its mean colour was subtracted: the four pixels of a 2x2 square become channels."""

_FLOAT, _INT, _INT32 = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR, _MASK = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES)
_ALIGN = 4

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


STAGE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind", "rate", "delay", "first", "last", "source", "into", "mode", "inputs", "outs", "weight", "bias",
            "places", "targets",
        )
    ]
)  # fmt: skip
"""A stage: see `program.Stage`. At step t it does its rows rate t - delay and following, those from `first` to before
`last`. `places` and `targets` are where the distances of its inputs and outputs begin in the table."""

BUFFER = np.dtype([(name, np.int64) for name in ("base", "ring", "row", "width", "height", "channels", "stride")])
"""A ring in memory: where it begins, its rows, numbers per row, pixels of a row, rows of the image, channels, and
numbers from one channel to the next."""

Records = npt.NDArray[np.void]


class Tile(NamedTuple):
    """Some outputs over some vectors of a row.

    Attributes:
        above, here, below: where three rows of the source begin, at the tile's first pixel.
        places: index of the first input's distance in the table.
        inputs: how many.
        weight, bias: where those of the tile begin, by input, row, column, output.
        targets: index of the first output's distance.
        into: where its row begins.
        under: where the row below it does.
        mode: what becomes of the sums.
        vectors: WIDE or one less.
        outputs: 1 to OUTPUTS; all of them with SHUFFLE.
    """

    above: int
    here: int
    below: int
    places: int
    inputs: int
    weight: int
    bias: int
    targets: int
    into: int
    under: int
    mode: int
    vectors: int
    outputs: int


@intrinsic
def _tile(typing, memory, table, weights, tile):  # type: ignore[no-untyped-def]
    """Convolve a tile.

    Args:
        memory: which holds all rows.
        table: of distances between channels.
        weights: of all convolutions.
        tile: a `Tile`.
    """

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        after = builder.append_basic_block("tiled")
        cases = {(v, o): builder.append_basic_block("tile") for v in (WIDE, WIDE - 1) for o in range(1, OUTPUTS + 1)}
        data = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in range(3)]
        own = Tile(*cgutils.unpack_tuple(builder, args[3]))  # type: ignore[no-untyped-call]
        which = builder.add(builder.mul(own.vectors, _INT(OUTPUTS + 1)), own.outputs)
        chosen = builder.switch(which, cases[WIDE, OUTPUTS])
        for (v, o), block in cases.items():
            if (v, o) != (WIDE, OUTPUTS):
                chosen.add_case(_INT(v * (OUTPUTS + 1) + o), block)
            builder.position_at_end(block)
            _TileCode(builder, data, own, v, o).emit()
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(memory, table, weights, tile), emit


class _TileCode:
    """Writes the code of a tile of so many vectors and outputs; the fields of `own` are values in that code."""

    def __init__(self, builder: Any, data: Sequence[ir.Value], own: Any, vectors: int, outputs: int) -> None:
        self._builder, self._own, self._vectors, self._outputs = builder, own, vectors, outputs
        self._memory, self._table, self._weights = data

    def emit(self) -> None:
        """The whole tile."""
        sums = self._convolve()
        builder = self._builder
        modes = (STORE, RELU, ADD, SHUFFLE) if self._outputs == OUTPUTS else (STORE, RELU, ADD)
        ends = [builder.append_basic_block("end") for _ in modes]
        after = builder.append_basic_block("done")
        chosen = builder.switch(self._own.mode, ends[STORE])
        for mode, end in zip(modes, ends, strict=True):
            if mode != STORE:
                chosen.add_case(_INT(mode), end)
            builder.position_at_end(end)
            self._shuffle(sums) if mode == SHUFFLE else self._keep(sums, mode)
            builder.branch(after)
        builder.position_at_end(after)

    def _convolve(self) -> list[list[ir.Value]]:
        builder, vectors = self._builder, range(self._vectors)
        start = [self._spread(self._at(self._weights, self._own.bias, o)) for o in range(self._outputs)]
        before, loop, after = builder.block, builder.append_basic_block("inputs"), builder.append_basic_block("sums")
        builder.cbranch(builder.icmp_signed(">", self._own.inputs, _INT(0)), loop, after)
        builder.position_at_end(loop)
        index = builder.phi(_INT)
        old = [[builder.phi(_VECTOR) for _ in vectors] for _ in start]
        new = self._one_input(index, old)
        following = builder.add(index, _INT(1))
        builder.cbranch(builder.icmp_signed("<", following, self._own.inputs), loop, after)
        index.add_incoming(_INT(0), before)
        index.add_incoming(following, loop)
        builder.position_at_end(after)
        done = [[builder.phi(_VECTOR) for _ in vectors] for _ in start]
        for o, first in enumerate(start):
            for v in vectors:
                for value in (old[o][v], done[o][v]):
                    value.add_incoming(first, before)
                    value.add_incoming(new[o][v], loop)
        return done

    def _one_input(self, index: ir.Value, sums: list[list[ir.Value]]) -> list[list[ir.Value]]:
        builder, new = self._builder, [list(row) for row in sums]
        three = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        fma = builder.module.declare_intrinsic(f"llvm.fmuladd.v{LANES}f32", (), three)
        distance = builder.load(self._at(self._table, builder.add(self._own.places, index)))
        weight = builder.add(self._own.weight, builder.mul(index, _INT(9 * OUTPUTS)))
        for row, base in enumerate((self._own.above, self._own.here, self._own.below)):
            first = builder.add(base, distance)
            for column in range(3):
                read = [self._load(self._at(self._memory, first, column - 1 + LANES * v)) for v in range(self._vectors)]
                for o in range(self._outputs):
                    one = self._spread(self._at(self._weights, weight, (3 * row + column) * OUTPUTS + o))
                    new[o] = [builder.call(fma, [x, one, had]) for x, had in zip(read, new[o], strict=True)]
        return new

    def _keep(self, sums: list[list[ir.Value]], mode: int) -> None:
        builder, zero = self._builder, ir.Constant(_VECTOR, [0.0] * LANES)
        for o, row in enumerate(sums):
            where = builder.add(self._own.into, builder.load(self._at(self._table, self._own.targets, o)))
            for v, value in enumerate(row):
                place = self._at(self._memory, where, LANES * v)
                if mode == RELU:
                    value = builder.select(builder.fcmp_unordered("<", value, zero), zero, value)
                elif mode == ADD:
                    value = builder.fadd(self._load(place), value)
                self._store(value, place)

    def _shuffle(self, sums: list[list[ir.Value]]) -> None:
        builder = self._builder
        distance = builder.load(self._at(self._table, self._own.targets))
        for row, base in enumerate((self._own.into, self._own.under)):
            where = builder.add(base, distance)
            for v, (left, right) in enumerate(zip(sums[2 * row], sums[2 * row + 1], strict=True)):
                for half in range(2):
                    lanes = [i // 2 + LANES * (i % 2) for i in range(half * LANES, (half + 1) * LANES)]
                    both = builder.shuffle_vector(left, right, ir.Constant(_MASK, lanes))
                    self._store(both, self._at(self._memory, where, LANES * (2 * v + half)))

    def _at(self, base: ir.Value, index: ir.Value, more: int = 0) -> ir.Value:
        return self._builder.gep(base, [self._builder.add(index, _INT(more))])

    def _load(self, place: ir.Value) -> ir.Value:
        return self._builder.load(self._builder.bitcast(place, _VECTOR.as_pointer()), align=_ALIGN)

    def _store(self, value: ir.Value, place: ir.Value) -> None:
        self._builder.store(value, self._builder.bitcast(place, _VECTOR.as_pointer()), align=_ALIGN)

    def _spread(self, place: ir.Value) -> ir.Value:
        none = ir.Constant(_VECTOR, ir.Undefined)
        one = self._builder.insert_element(none, self._builder.load(place), _INT32(0))
        return self._builder.shuffle_vector(one, none, ir.Constant(_MASK, [0] * LANES))


@intrinsic
def _count(typing, counter):  # type: ignore[no-untyped-def]
    """Add 1 to a counter that threads share: what was written before is seen by who sees that."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", place, _INT(1), "seq_cst")

    return types.int64(counter), emit


@intrinsic
def _seen(typing, counter):  # type: ignore[no-untyped-def]
    """A counter that threads share."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(counter), emit


@intrinsic
def _move(typing, into, place, source, first, count):  # type: ignore[no-untyped-def]
    """Copy so many numbers from one array to another: numba's own loop looks for indices below 0, number by number."""

    def emit(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def at(array: int, index: int) -> ir.Value:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            return builder.gep(data, [args[index]])

        cgutils.raw_memcpy(builder, at(0, 1), at(2, 3), args[4], _INT(4))  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(into, place, source, first, count), emit


@njit(nogil=True, cache=True)
def arrive(counter: Integers) -> None:
    """Say that a thread is done with a part."""
    _count(counter)  # type: ignore[call-arg]


@njit(nogil=True, cache=True)
def all_there(counter: Integers, goal: int, looks: int) -> bool:
    """Whether so many have arrived, looking at most so many times: a thread that sleeps takes long to wake up."""
    for _ in range(looks):  # noqa: SIM110  numba knows no generators
        if _seen(counter) >= goal:  # type: ignore[call-arg]
            return True
    return False


def vectors_of(width: int) -> int:
    """Vectors that a row of so many pixels is made in: the last may reach beyond its end."""
    own = -(-width // LANES)
    return max(own, (WIDE - 1) * -(-own // WIDE))


@njit(nogil=True, cache=True)
def sweep(
    stages: Records,
    buffers: Records,
    table: Integers,
    weights: Floats,
    memory: Floats,
    zeros: int,
    read: tuple[Floats, Floats],
    read_strides: Integers,
    made: tuple[Floats, Floats],
    made_strides: Integers,
    begin: int,
    end: int,
    begun: Integers,
    arrived: Integers,
    mean: float,
) -> None:
    """Run stages from step `begin` to before step `end`: at step t each does rate t - delay and following rows.

    Args:
        stages, buffers: of STAGE and of BUFFER.
        table: distances from a row's beginning to its channels, and channels of tensors.
        weights: of all convolutions.
        memory: room for the rings; any content.
        zeros: where in it lies the row that is above the first and below the last, up to the end.
        read, made: tensors that LOAD reads and SAVE writes, by the stage's source and into.
        read_strides, made_strides: of a row and of a channel in each.
        begun, arrived: counters that threads share, one more at the start and at the end: within the loops, where a
            thread that sees them finds Python's lock free. One that had to sleep for it would be late.
        mean: colour of an image.
    """
    _count(begun)  # type: ignore[call-arg]
    # Zero padding is written once where no stage ever writes: above and below, and left of each channel. Right of it
    # a tile may write beyond the row, so each row restores that zero itself.
    memory[zeros - LANES :] = 0
    for b in range(len(buffers)):
        for row in range(buffers[b].ring):
            for channel in range(buffers[b].channels):  # left of the first pixel
                memory[_place(buffers[b], row) + channel * buffers[b].stride - 1] = 0
    for step in range(begin, end):
        for s in range(len(stages)):
            stage = stages[s]
            for row in range(stage.rate * step - stage.delay, stage.rate * step - stage.delay + stage.rate):
                if row < stage.first or row >= stage.last:
                    continue
                if stage.kind == CONV:
                    _convolve_row(stage, row, buffers, table, weights, memory, zeros)
                elif stage.kind == LOAD and stage.mode == UNSHUFFLE:
                    _load_squares(stage, row, buffers[stage.into], table, memory, read[0], read_strides[0], mean)
                elif stage.kind == LOAD:
                    if stage.source == 0:
                        _load_row(stage, row, buffers[stage.into], table, memory, read[0], read_strides[0])
                    else:
                        _load_row(stage, row, buffers[stage.into], table, memory, read[1], read_strides[1])
                elif stage.into == 0:
                    _save_row(stage, row, buffers[stage.source], table, memory, made[0], made_strides[0])
                else:
                    _save_row(stage, row, buffers[stage.source], table, memory, made[1], made_strides[1])
    _count(arrived)


@njit(nogil=True, cache=True)
def add_scaled(
    image: Floats, scale: Floats, hidden: Floats, restored: Floats, first: int, last: int, begun: Integers
) -> None:
    """The last step of the network, on the rows `first` to before `last` of an image: C x H x W.

    Args:
        begun: a counter as `sweep` takes it.
    """
    _count(begun)  # type: ignore[call-arg]
    for c in range(len(image)):
        for y in range(first, last):
            for x in range(image.shape[2]):
                restored[c, y, x] = image[c, y, x] + scale[c] * hidden[c, y, x]


@njit(nogil=True, cache=True)
def _place(buffer: Any, row: int) -> int:
    return int(buffer.base + row % buffer.ring * buffer.row)


@njit(nogil=True, cache=True)
def _load_row(
    stage: Any, row: int, buffer: Any, table: Integers, memory: Floats, tensor: Floats, strides: Integers
) -> None:
    """Channels of a tensor into a ring; -1 in place of a channel gives zeros."""
    into, width = _place(buffer, row), buffer.width
    for k in range(stage.outs):
        where, channel = into + table[stage.targets + k], table[stage.places + k]
        if channel < 0:
            memory[where : where + width] = 0
        else:
            _move(memory, where, tensor, row * strides[0] + channel * strides[1], width)  # type: ignore[call-arg]
        memory[where + width] = 0


@njit(nogil=True, cache=True)
def _load_squares(
    stage: Any,
    row: int,
    buffer: Any,
    table: Integers,
    memory: Floats,
    image: Floats,
    strides: Integers,
    mean: float,
) -> None:
    """Two rows of an image into a row of a ring, as `F.pixel_unshuffle` orders its channels."""
    into, width = _place(buffer, row), buffer.width
    for k in range(stage.outs):
        colour, below, right = k // 4, k // 2 % 2, k % 2
        where = into + table[stage.targets + k]
        first = (2 * row + below) * strides[0] + colour * strides[1] + right
        for x in range(width):
            memory[where + x] = image[first + 2 * x] - np.float32(mean)
        memory[where + width] = 0


@njit(nogil=True, cache=True)
def _save_row(
    stage: Any, row: int, buffer: Any, table: Integers, memory: Floats, tensor: Floats, strides: Integers
) -> None:
    own, width = _place(buffer, row), buffer.width
    for k in range(stage.outs):
        first = row * strides[0] + k * strides[1]
        _move(tensor, first, memory, own + table[stage.places + k], width)  # type: ignore[call-arg]


@njit(nogil=True, cache=True)
def _convolve_row(
    stage: Any, row: int, buffers: Records, table: Integers, weights: Floats, memory: Floats, zeros: int
) -> None:
    """One row of a convolution, two of it for SHUFFLE."""
    source, target = buffers[stage.source], buffers[stage.into]
    here = _place(source, row)
    above = zeros if row == 0 else _place(source, row - 1)
    below = zeros if row == source.height - 1 else _place(source, row + 1)
    mode, inputs, width, into, under, each = stage.mode, stage.inputs, target.width, 0, 0, OUTPUTS
    if mode == SHUFFLE:
        into, under, each = _place(target, 2 * row), _place(target, 2 * row + 1), 1
    else:
        into = _place(target, row)
    # As few tiles as possible, of WIDE vectors or one less: a short last tile would leave registers idle.
    own = -(-source.width // LANES)
    tiles = -(-own // WIDE)
    wide = max(own - (WIDE - 1) * tiles, 0)
    x, scale = 0, 2 if mode == SHUFFLE else 1
    for k in range(tiles):
        vectors = WIDE if k < wide else WIDE - 1
        for first in range(0, stage.outs, OUTPUTS):
            tile = Tile(
                above + x, here + x, below + x, stage.places, inputs,
                stage.weight + first * 9 * inputs, stage.bias + first, stage.targets + first // OUTPUTS * each,
                into + scale * x, under + scale * x, mode, vectors, min(OUTPUTS, stage.outs - first),
            )  # fmt: skip
            _tile(memory, table, weights, tile)  # type: ignore[call-arg]
        x += LANES * vectors
    for k in range(stage.outs // OUTPUTS if mode == SHUFFLE else stage.outs):
        edge = table[stage.targets + k] + width
        memory[into + edge] = 0
        if mode == SHUFFLE:
            memory[under + edge] = 0
