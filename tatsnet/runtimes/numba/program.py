"""What the loops are to do for a section, whatever the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import Layer, SectionPlan
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
class Program:
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
    places: Mapping[str, Place]
    live: int
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
        self, layer: Layer, source: str, columns: Sequence[int], into: str, targets: Sequence[int], mode: int
    ) -> None:
        place = self.places[layer.name]
        self.stages.append(Stage(loops.CONV, source, into, columns, targets, mode, place.weight, place.bias))

    def add(self, layer: Layer) -> None:
        """A layer's stages."""
        match layer.role:
            case Role.HEAD:
                image = self.ring("image", 12, 1)
                self.stages.append(Stage(loops.LOAD, STREAM, image, range(12), range(12), loops.UNSHUFFLE))
                rest = sorted(set(range(self.live)) - set(layer.stream))
                self.ring("stream", self.live, 1)
                self.load(STREAM, "stream", [None] * len(rest), rest)
                self.convolve(layer, image, range(12), "stream", layer.stream, loops.STORE)
            case Role.ENTER:
                self.hidden = self.ring(layer.name, layer.outputs, 1)
                self.convolve(layer, "stream", layer.stream, self.hidden, range(layer.outputs), loops.RELU)
            case Role.LEAVE:
                assert self.hidden is not None
                self.convolve(layer, self.hidden, range(layer.inputs), "stream", layer.stream, loops.ADD)
                self.hidden = None
            case Role.TAIL:
                pixels = range(layer.outputs // 4)
                self.hidden = self.ring("pixels", len(pixels), 2)
                self.convolve(layer, "stream", layer.stream, self.hidden, pixels, loops.SHUFFLE)
            case Role.UP | Role.OUT:
                assert self.hidden is not None
                source, self.hidden = self.hidden, self.ring(layer.name, layer.outputs, 2)
                mode = loops.RELU if layer.role is Role.UP else loops.STORE
                self.convolve(layer, source, range(layer.inputs), self.hidden, range(layer.outputs), mode)


def programs(plan: SectionPlan, blocks: int) -> list[Program]:
    """A section in parts that are run one after the other, each reading what the one before it made.

    Args:
        plan: of the section; the residual scales are in the weights.
        blocks: of a part, at most.
    """
    where, live = places(plan), len(plan.live)
    sources: list[int | None] = [*plan.take, *[None] * (live - len(plan.take))]
    made = []
    for part in _parts(plan.layers, blocks):
        made.append(_program(part, where, sources))
        sources = list(range(live))
    return made


def _parts(layers: Sequence[Layer], most: int) -> Iterator[Sequence[Layer]]:
    begin = blocks = 0
    for index, layer in enumerate(layers):
        if layer.role is Role.ENTER:
            if blocks == most:
                yield layers[begin:index]
                begin, blocks = index, 0
            blocks += 1
    if layers:
        yield layers[begin:]


def _program(layers: Sequence[Layer], where: Mapping[str, Place], sources: Sequence[int | None]) -> Program:
    """The stages of consecutive layers.

    Args:
        sources: of each live channel, its place in the stream that is given; None for zeros.
    """
    first, full = layers[0], layers[-1].role in (Role.TAIL, Role.UP, Role.OUT)
    builder = _Builder(where, len(sources))
    if first.role is not Role.HEAD and first.conv.area < 1:
        builder.ring("stream", len(sources), 1)
        builder.load(STREAM, "stream", sources, range(len(sources)))
    if first.role in (Role.LEAVE, Role.UP, Role.OUT):
        builder.hidden = builder.ring("given", first.inputs, 1 if first.conv.area < 1 else 2)
        builder.load(HIDDEN, builder.hidden, range(first.inputs), range(first.inputs))
    for layer in layers:
        builder.add(layer)
    makes = [0, 0]
    if not full:
        makes[STREAM] = builder.save("stream", STREAM)
    if builder.hidden is not None:
        makes[HIDDEN] = builder.save(builder.hidden, HIDDEN)
    return Program(tuple(builder.stages), builder.rings, (makes[0], makes[1]), full)
