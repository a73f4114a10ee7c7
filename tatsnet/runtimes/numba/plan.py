"""What the loops are to do for a section, whatever the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.network.slicing import travelling, used_channels
from tatsnet.runtimes.numba import loops
from tatsnet.runtimes.numba.weights import Place, places

STREAM, HIDDEN = 0, 1
"""The tensors that a section reads and makes, by number."""


class Stage(NamedTuple):
    """Something done to every row: a LOAD from a tensor, a CONV, a SAVE to a tensor.

    Attributes:
        kind: LOAD, CONV or SAVE.
        source, into: rings by name; a tensor, which LOAD reads or SAVE writes, by its number.
        channels_in: of the source, those that it reads; None for zeros.
        channels_out: of the target, those that it writes; of a SHUFFLE each takes four outputs.
        mode: of a CONV, or of a LOAD: STORE or UNSHUFFLE.
        weight, bias: where a CONV's begin in the section's weights.
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
    """A part of a section.

    Attributes:
        stages: in their order within a step.
        rings: channels of each ring, and its rows per row at half resolution: 1 or 2.
        makes: channels of the stream and of the hidden tensor that it makes.
        full: whether the hidden tensor is at full resolution.
    """

    stages: tuple[Stage, ...]
    rings: Mapping[str, tuple[int, int]]
    makes: tuple[int, int]
    full: bool

    def rate(self, stage: Stage) -> int:
        """Rows of its own that a stage does per row at half resolution; a SHUFFLE counts those that it reads."""
        return self.rings[str(stage.into if stage.kind == loops.LOAD else stage.source)][1]

    def check(self, tensors: Sequence[Tensor], height: int, width: int) -> None:
        """Raise unless the tensors (B x C x H x W) have what is read of them: the loops look at no edge.

        Args:
            height, width: at half resolution.

        Raises:
            ValueError: too few channels, or another size.
        """
        for stage in self.stages:
            channels = [channel for channel in stage.channels_in if channel is not None]
            if stage.kind == loops.LOAD and channels:
                assert isinstance(stage.source, int)
                is_image = stage.mode == loops.UNSHUFFLE
                shape, rate, count = tensors[stage.source].shape, self.rate(stage), max(channels) + 1
                if is_image:
                    rate, count = 2, count // 4
                if shape[1] < count or shape[2:] != (height * rate, width * rate):
                    name = "image" if is_image else ("stream", "hidden tensor")[stage.source]
                    raise ValueError(
                        f"the {name} has {shape[1]} channels of {shape[2]} x {shape[3]}; {count} of {height * rate} x "
                        f"{width * rate} are read"
                    )


@dataclass
class _Builder:
    pattern: Pattern
    places: Mapping[str, Place]
    channels: Channels
    stages: list[Stage] = field(default_factory=list)
    rings: dict[str, tuple[int, int]] = field(default_factory=dict)
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
        place = self.places[conv.name]
        self.stages.append(Stage(loops.CONV, source, into, columns, targets, mode, place.weight, place.bias))

    def add(self, conv: Conv) -> None:
        """A convolution's stages."""
        place = {channel: index for index, channel in enumerate(self.channels)}
        kept_in, kept_out = (() if point is None else self.pattern[point] for point in (conv.fan_in, conv.fan_out))
        if conv.role is Role.HEAD:
            image = self.ring("image", 12, 1)
            self.stages.append(Stage(loops.LOAD, STREAM, image, range(12), range(12), loops.UNSHUFFLE))
            targets = [place[channel] for channel in kept_out]
            rest = sorted(set(place.values()) - set(targets))
            self.ring("stream", len(place), 1)
            self.load(STREAM, "stream", [None] * len(rest), rest)
            self.convolve(conv, image, range(12), "stream", targets, loops.STORE)
        elif conv.role is Role.TAIL:
            self.hidden = self.ring("pixels", conv.outputs // 4, 2)
            columns = [place[channel] for channel in kept_in]
            self.convolve(conv, "stream", columns, self.hidden, range(conv.outputs // 4), loops.SHUFFLE)
        elif conv.role in (Role.UP, Role.OUT):
            assert self.hidden is not None
            source, count = self.hidden, 3 if conv.role is Role.OUT else len(kept_out)
            self.hidden = self.ring(conv.name, count, 2)
            mode = loops.RELU if conv.role is Role.UP else loops.STORE
            self.convolve(conv, source, range(self.rings[source][0]), self.hidden, range(count), mode)
        elif conv.writes_stream:
            assert self.hidden is not None
            if kept_out:
                targets = [place[channel] for channel in kept_out]
                self.convolve(conv, self.hidden, range(len(kept_in)), "stream", targets, loops.ADD)
            self.hidden = None
        else:
            self.hidden = self.ring(conv.name, len(kept_out), 1)
            columns = [place[channel] for channel in kept_in]
            self.convolve(conv, "stream", columns, self.hidden, range(len(kept_out)), loops.RELU)


def plans(convs: Sequence[Conv], pattern: Pattern, incoming: Channels, blocks: int) -> list[Plan]:
    """A section in parts that are run one after the other, each reading what the one before it made.

    Args:
        convs, pattern, incoming: as of `Section`; the residual scales are in the weights.
        blocks: of a part, at most.
    """
    where, channels = places(convs, pattern), stream_channels(convs, pattern, incoming)
    made = []
    for part in _parts(convs, blocks):
        made.append(_plan(part, pattern, incoming, where, channels))
        incoming = channels
    return made


def stream_channels(convs: Sequence[Conv], pattern: Pattern, incoming: Channels) -> Channels:
    """The channels of the stream that a section works on."""
    channels = travelling(convs, pattern, incoming)
    if not any(map(_ends_stream, convs)):
        return channels
    used = used_channels(convs, pattern)
    return tuple(channel for channel in channels if channel in used)


def _parts(convs: Sequence[Conv], most: int) -> Iterator[Sequence[Conv]]:
    begin = blocks = 0
    for index, conv in enumerate(convs):
        if conv.role is Role.ENTER:
            if blocks == most:
                yield convs[begin:index]
                begin, blocks = index, 0
            blocks += 1
    if convs:
        yield convs[begin:]


def _ends_stream(conv: Conv) -> bool:
    return conv.area == 1 or conv.role is Role.TAIL


def _plan(
    convs: Sequence[Conv], pattern: Pattern, incoming: Channels, where: Mapping[str, Place], channels: Channels
) -> Plan:
    """`channels` are those of the stream that this part and later ones use."""
    first = convs[0]
    builder = _Builder(pattern, where, channels)
    if first.role is not Role.HEAD and first.area < 1:
        builder.ring("stream", len(channels), 1)
        sources = [incoming.index(channel) if channel in incoming else None for channel in channels]
        builder.load(STREAM, "stream", sources, range(len(channels)))
    if first.area == 1 or (first.role is not Role.HEAD and first.writes_stream):
        count = first.inputs if first.role is Role.UP else len(pattern[first.fan_in or 0])
        builder.hidden = builder.ring("given", count, 1 if first.area < 1 else 2)
        builder.load(HIDDEN, builder.hidden, range(count), range(count))
    for conv in convs:
        builder.add(conv)
    makes = [0, 0]
    if not any(map(_ends_stream, convs)):
        makes[STREAM] = builder.save("stream", STREAM)
    if builder.hidden is not None:
        makes[HIDDEN] = builder.save(builder.hidden, HIDDEN)
    return Plan(tuple(builder.stages), builder.rings, (makes[0], makes[1]), _ends_stream(convs[-1]))
