"""What the loops are to do for a section, first for any image, then for some rows of an image of a known size.

Shapes: O a convolution's kept outputs, I its kept inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tatsnet.architecture import Channels, Conv, Pattern
from tatsnet.runtimes.rows import loops
from tatsnet.slicing import travelling, used_channels, writes_stream

STREAM, HIDDEN = 0, 1
"""The tensors that a section reads and makes, by number."""


class Stage(NamedTuple):
    """Something done to every row: a LOAD from a tensor, a CONV, a SAVE to a tensor.

    Attributes:
        kind: LOAD, CONV or SAVE.
        source, into: rings by name; a tensor, which LOAD reads or SAVE writes, by its number.
        channels_in: of the source, those that it reads; None for zeros.
        channels_out: of the target, those that it writes; of a SHUFFLE each takes four outputs.
        mode: of a CONV.
        weight, bias: where a CONV's begin in `Plan.weights`.
    """

    kind: int
    source: str | int
    into: str | int
    channels_in: Sequence[int | None]
    channels_out: Sequence[int]
    mode: int = loops.STORE
    weight: int = 0
    bias: int = 0


@dataclass(frozen=True, eq=False)
class Plan:
    """A section for any image.

    Attributes:
        stages: in their order within a step.
        rings: channels of each ring, and its rows per row at half resolution: 1 or 2.
        weights: of all convolutions.
        makes: channels of the stream and of the hidden tensor that it makes.
        full: whether the hidden tensor is at full resolution.
    """

    stages: tuple[Stage, ...]
    rings: Mapping[str, tuple[int, int]]
    weights: loops.Floats
    makes: tuple[int, int]
    full: bool

    def rate(self, stage: Stage) -> int:
        """Rows of its own that a stage does per row at half resolution; a SHUFFLE counts those that it reads."""
        return self.rings[str(stage.into if stage.kind == loops.LOAD else stage.source)][1]

    def check(self, tensors: Sequence[Tensor], height: int, width: int) -> None:
        """Raise unless the tensors (C x H x W) have what is read of them: the loops look at no edge.

        Args:
            height, width: at half resolution.

        Raises:
            ValueError: too few channels, or another size.
        """
        for stage in self.stages:
            channels = [channel for channel in stage.channels_in if channel is not None]
            if stage.kind == loops.LOAD and channels:
                assert isinstance(stage.source, int)
                shape, rate = tensors[stage.source].shape, self.rate(stage)
                if shape[0] <= max(channels) or shape[1:] != (height * rate, width * rate):
                    raise ValueError(
                        f"the {('stream', 'hidden tensor')[stage.source]} has {shape[0]} channels of {shape[1]} x "
                        f"{shape[2]}; {max(channels) + 1} of {height * rate} x {width * rate} are read"
                    )


@dataclass
class _Builder:
    pattern: Pattern
    tensors: Mapping[str, Tensor]
    channels: Channels
    stages: list[Stage] = field(default_factory=list)
    rings: dict[str, tuple[int, int]] = field(default_factory=dict)
    weights: list[loops.Floats] = field(default_factory=list)
    hidden: str | None = None

    def ring(self, name: str, channels: int, rate: int) -> str:
        self.rings[name] = channels, rate
        return name

    def load(self, number: int, into: str, channels: Sequence[int | None], targets: Sequence[int]) -> None:
        self.stages.append(Stage(loops.LOAD, number, into, channels, targets))

    def save(self, source: str, number: int) -> int:
        count = self.rings[source][0]
        self.stages.append(Stage(loops.SAVE, source, number, range(count), range(count)))
        return count

    def convolve(
        self, conv: Conv, source: str, columns: Sequence[int], into: str, targets: Sequence[int], mode: int
    ) -> None:
        weight, bias = self.tensors[f"{conv.name}.weight"], self.tensors[f"{conv.name}.bias"]
        if conv.name == "head":
            weight = _unshuffled(weight)
        outputs = len(targets) * (loops.OUTPUTS if mode == loops.SHUFFLE else 1)
        if weight.shape != (outputs, len(columns), 3, 3) or bias.shape != (outputs,):
            raise RuntimeError(
                f"{conv.name} makes {outputs} channels of {len(columns)}: weights of shape {tuple(weight.shape)} and a "
                f"bias of {tuple(bias.shape)} do not fit"
            )
        begin = sum(map(len, self.weights))
        packed = _packed(weight)
        self.weights += [packed, _padded(bias).numpy()]
        at = begin, begin + len(packed)
        self.stages.append(Stage(loops.CONV, source, into, columns, targets, mode, *at))

    def add(self, conv: Conv) -> None:
        """A convolution's stages."""
        place = {channel: index for index, channel in enumerate(self.channels)}
        kept_in, kept_out = (() if point is None else self.pattern[point] for point in (conv.fan_in, conv.fan_out))
        if conv.name == "head":
            image = self.ring("image", 12, 1)
            self.load(STREAM, image, range(12), range(12))
            targets = [place[channel] for channel in kept_out]
            rest = sorted(set(place.values()) - set(targets))
            self.ring("stream", len(place), 1)
            self.load(STREAM, "stream", [None] * len(rest), rest)
            self.convolve(conv, image, range(12), "stream", targets, loops.STORE)
        elif conv.name == "tail":
            self.hidden = self.ring("pixels", conv.outputs // 4, 2)
            columns = [place[channel] for channel in kept_in]
            self.convolve(conv, "stream", columns, self.hidden, range(conv.outputs // 4), loops.SHUFFLE)
        elif conv.name in ("up", "out"):
            assert self.hidden is not None
            source, count = self.hidden, 3 if conv.name == "out" else len(kept_out)
            self.hidden = self.ring(conv.name, count, 2)
            mode = loops.RELU if conv.name == "up" else loops.STORE
            self.convolve(conv, source, range(self.rings[source][0]), self.hidden, range(count), mode)
        elif writes_stream(conv):
            assert self.hidden is not None
            if kept_out:
                targets = [place[channel] for channel in kept_out]
                self.convolve(conv, self.hidden, range(len(kept_in)), "stream", targets, loops.ADD)
            self.hidden = None
        else:
            self.hidden = self.ring(conv.name, len(kept_out), 1)
            columns = [place[channel] for channel in kept_in]
            self.convolve(conv, "stream", columns, self.hidden, range(len(kept_out)), loops.RELU)


def plans(
    convs: Sequence[Conv], pattern: Pattern, incoming: Channels, tensors: Mapping[str, Tensor], blocks: int
) -> list[Plan]:
    """A section in parts that are run one after the other, each reading what the one before it made.

    Args:
        convs, pattern, incoming, tensors: as of `Section`; the residual scales are in the weights.
        blocks: of a part, at most.

    Raises:
        KeyError, RuntimeError: weights that are missing, or of another shape.
    """
    channels = travelling(convs, pattern, incoming)
    if any(_ends_stream(conv) for conv in convs):
        used = used_channels(convs, pattern)
        channels = tuple(channel for channel in channels if channel in used)
    made = []
    for part in _parts(convs, blocks):
        made.append(_plan(part, pattern, incoming, tensors, channels))
        incoming = channels
    return made


def _parts(convs: Sequence[Conv], most: int) -> Iterator[Sequence[Conv]]:
    begin = blocks = 0
    for index, conv in enumerate(convs):
        if conv.name.endswith("conv1"):
            if blocks == most:
                yield convs[begin:index]
                begin, blocks = index, 0
            blocks += 1
    if convs:
        yield convs[begin:]


def _ends_stream(conv: Conv) -> bool:
    return conv.area == 1 or conv.name == "tail"


def _plan(
    convs: Sequence[Conv], pattern: Pattern, incoming: Channels, tensors: Mapping[str, Tensor], channels: Channels
) -> Plan:
    """`channels` are those of the stream that this part and later ones use."""
    first = convs[0]
    builder = _Builder(pattern, tensors, channels)
    if first.name != "head" and first.area < 1:
        builder.ring("stream", len(channels), 1)
        sources = [incoming.index(channel) if channel in incoming else None for channel in channels]
        builder.load(STREAM, "stream", sources, range(len(channels)))
    if first.area == 1 or (first.name != "head" and writes_stream(first)):
        count = first.inputs if first.name == "up" else len(pattern[first.fan_in or 0])
        builder.hidden = builder.ring("given", count, 1 if first.area < 1 else 2)
        builder.load(HIDDEN, builder.hidden, range(count), range(count))
    for conv in convs:
        builder.add(conv)
    makes = [0, 0]
    if not any(map(_ends_stream, convs)):
        makes[STREAM] = builder.save("stream", STREAM)
    if builder.hidden is not None:
        makes[HIDDEN] = builder.save(builder.hidden, HIDDEN)
    weights = np.concatenate([np.zeros(0, np.float32), *builder.weights])
    return Plan(tuple(builder.stages), builder.rings, weights, (makes[0], makes[1]), _ends_stream(convs[-1]))


def _packed(weight_OIKK: Tensor) -> loops.Floats:
    """By tile of outputs, input, row and column, output."""
    padded = _padded(weight_OIKK)
    tiles = padded.reshape(len(padded) // loops.OUTPUTS, loops.OUTPUTS, padded.shape[1], 9)
    return tiles.permute(0, 2, 3, 1).contiguous().numpy().ravel()


def _padded(rows: Tensor) -> Tensor:
    missing = -len(rows) % loops.OUTPUTS
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])


def _unshuffled(weight_OCKK: Tensor) -> Tensor:
    """A 3x3 kernel of stride 2 as one of stride 1 over the image after `F.pixel_unshuffle` of 2: O x 4C x 3 x 3."""
    outputs, colours = weight_OCKK.shape[:2]
    made = weight_OCKK.new_zeros(outputs, colours, 2, 2, 3, 3)
    steps = {0: (1, 0), 1: (0, 1), 2: (1, 1)}
    for row, (below, new_row) in steps.items():
        for column, (right, new_column) in steps.items():
            made[:, :, below, right, new_row, new_column] = weight_OCKK[:, :, row, column]
    return made.flatten(1, 3)


class Sized(NamedTuple):
    """A plan for some rows of images of one size: what `loops.sweep` takes.

    Attributes:
        stages, buffers, table: as integers.
        room: numbers of memory that the rings take.
        zeros: where in it a row of zeros lies, up to its end.
        begin, end: steps.
    """

    stages: loops.Integers
    buffers: loops.Integers
    table: loops.Integers
    room: int
    zeros: int
    begin: int
    end: int


def sized(plan: Plan, height: int, width: int, first: int, last: int) -> Sized:
    """A plan for the rows `first` to before `last` of a section's results.

    Args:
        height, width: at half resolution, as are the rows.
    """
    delays = _delays(plan)
    rows = _needed(plan, height, first, last)
    numbers = {name: index for index, name in enumerate(plan.rings)}
    strides = {name: _stride(width * rate) for name, (_, rate) in plan.rings.items()}
    buffers = np.zeros((len(numbers), 7), np.int64)
    room = 0
    for (name, (channels, rate)), span in zip(plan.rings.items(), _spans(plan, delays), strict=True):
        ring, row = 1 << (span - 1).bit_length(), (channels + 1) * strides[name]
        buffers[numbers[name]] = room + loops.LANES, ring, row, width * rate, height * rate, channels, strides[name]
        room += ring * row
    table: list[int] = []
    stages = np.zeros((len(plan.stages), 14), np.int64)
    for index, (stage, own) in enumerate(zip(plan.stages, rows, strict=True)):
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
        elif stage.kind == loops.CONV:  # a tile's outputs beyond the last go to a channel that nothing reads
            nowhere = -outs % loops.OUTPUTS
            table += [plan.rings[str(stage.into)][0] * strides[str(stage.into)]] * nowhere
            outs += nowhere
        stages[index] = (
            stage.kind, plan.rate(stage), delays[index], *own, numbers.get(str(stage.source), stage.source),
            numbers.get(str(stage.into), stage.into), stage.mode, len(stage.channels_in), outs,
            stage.weight, stage.bias, places, targets,
        )  # fmt: skip
    first_rows, last_rows = (
        stages[:, loops.FIRST] + stages[:, loops.DELAY],
        stages[:, loops.LAST] + stages[:, loops.DELAY],
    )
    begin, end = (first_rows // stages[:, loops.RATE]).min(), (-(-last_rows // stages[:, loops.RATE])).max()
    zeros = room + loops.LANES
    room += max((channels + 1) * strides[name] for name, (channels, _) in plan.rings.items())
    return Sized(stages, buffers, np.array([*table, 0], np.int64), room, zeros, int(begin), int(end))


def _stride(width: int) -> int:
    """From a channel's row to the next one's: room for zeros before it and for a tile that reaches beyond its end.

    It is an odd number of vectors, so that the same pixel of all channels is not in one and the same set of a cache.
    """
    return loops.LANES * ((loops.vectors_of(width) + 2 * loops.WIDE + 2) | 1)


def _delays(plan: Plan) -> list[int]:
    """By how many rows of its own each stage is behind: a convolution needs the row below the one that it makes."""
    ready: dict[str | int, int] = {}
    delays = []
    for stage in plan.stages:
        if stage.kind == loops.LOAD:
            delay = ready.setdefault(stage.into, 0)
        elif stage.kind == loops.SAVE:
            delay = ready[stage.source]
        else:
            delay = ready[stage.source] + 1
            ready[stage.into] = 2 * delay if stage.mode == loops.SHUFFLE else delay
        delays.append(delay)
    return delays


def _needed(plan: Plan, height: int, first: int, last: int) -> list[tuple[int, int]]:
    """The rows that each stage does, so that the section's results have theirs."""
    need: dict[str | int, tuple[int, int]] = {}
    rows: list[tuple[int, int]] = []
    for stage in reversed(plan.stages):
        rate = plan.rate(stage)
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


def _spans(plan: Plan, delays: Sequence[int]) -> Iterator[int]:
    """Rows of each ring, in their order, from the newest to the oldest that something still reads."""
    newest: dict[str | int, int] = {}
    oldest: dict[str | int, int] = {}
    for stage, delay in zip(plan.stages, delays, strict=True):
        if stage.kind != loops.SAVE:
            written = 2 * delay if stage.mode == loops.SHUFFLE else delay
            newest.setdefault(stage.into, plan.rings[str(stage.into)][1] - 1 - written)
            oldest[stage.into] = min(oldest.get(stage.into, -written), -written)
        if stage.kind != loops.LOAD:
            read = -delay - (stage.kind == loops.CONV)
            oldest[stage.source] = min(oldest.get(stage.source, read), read)
    return (newest[name] - oldest[name] + 1 for name in plan.rings)
