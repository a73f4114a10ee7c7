"""A section of a network as a plan: what each convolution reads and writes, once for all that run or price it.

The runtimes, the ONNX export and the latency model lower a plan; none of them looks at gate patterns itself. In a
section the skip stream is compact: it has the live channels only. Convolutions name these by their places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.network.slicing import travelling, used_channels

Places = tuple[int, ...]
"""Where channels lie among others."""


@dataclass(frozen=True)
class Layer:
    """A convolution of a section.

    Attributes:
        conv: of the super network.
        inputs, outputs: kept channels.
        stream: places among the live channels of those that it reads (ENTER, TAIL) or writes (HEAD, LEAVE), in the
            order of its inputs or outputs; none for UP and OUT.
        whole: `stream` is every live channel, in their order.
    """

    conv: Conv
    inputs: int
    outputs: int
    stream: Places
    whole: bool

    @property
    def role(self) -> Role:
        """Of the convolution."""
        return self.conv.role

    @property
    def name(self) -> str:
        """Prefix of its tensors."""
        return self.conv.name


@dataclass(frozen=True)
class SectionPlan:
    """Consecutive convolutions of a network with what is dead left out.

    Attributes:
        convs, pattern: what was planned.
        layers: first to last. Of a block that adds nothing to the stream there is none.
        incoming: channels of the stream that the section is given; 0 before the head and after the tail.
        take: places among these of the channels that it goes on with; nothing reads the others later.
        live: the stream's channels in the section: taken ones, then the head's, then those that a block writes first.
        room: how many of these are written first by a block: the last ones, zero until then.
        hidden_in: channels that the section is given beside the stream.
        stream_out, hidden_out: channels that it leaves; the stream's are `live`, or none after the tail.
        full: hidden channels that it leaves are at full resolution.
    """

    convs: tuple[Conv, ...]
    pattern: Pattern
    layers: tuple[Layer, ...]
    incoming: int
    take: Places
    live: Channels
    room: int
    hidden_in: int
    stream_out: int
    hidden_out: int
    full: bool

    @property
    def takes_some(self) -> bool:
        """Whether channels of the incoming stream are left behind."""
        return len(self.take) < self.incoming

    @property
    def has_head(self) -> bool:
        """Whether it begins with the image."""
        return bool(self.convs) and self.convs[0].role is Role.HEAD


def plan_section(convs: Sequence[Conv], pattern: Pattern, incoming: Channels = ()) -> SectionPlan:
    """The plan of a section.

    Args:
        convs: consecutive convolutions, first to last; may be none.
        pattern: the kept channels.
        incoming: the stream's channels before this section, in their order in memory.
    """
    if convs and convs[0].area == 1:  # the stream ended with the tail
        incoming = ()
    used = used_channels(convs, pattern) if any(conv.role is Role.TAIL for conv in convs) else frozenset(incoming)
    taken = tuple(channel for channel in incoming if channel in used)
    live = travelling(convs, pattern, taken)
    layers = tuple(_layer(conv, pattern, live) for conv in _alive(convs, pattern))
    head = len(pattern[0]) if convs and convs[0].role is Role.HEAD else 0
    reads_hidden = bool(layers) and layers[0].role in (Role.LEAVE, Role.UP, Role.OUT)
    hidden_out, full = _hidden_out(convs, pattern)
    return SectionPlan(
        convs=tuple(convs),
        pattern=pattern,
        layers=layers,
        incoming=len(incoming),
        take=tuple(incoming.index(channel) for channel in taken),
        live=live,
        room=len(live) - len(taken) - head,
        hidden_in=layers[0].inputs if reads_hidden else 0,
        stream_out=0 if full else len(live),
        hidden_out=hidden_out,
        full=full,
    )


def _alive(convs: Sequence[Conv], pattern: Pattern) -> Iterator[Conv]:
    """All but blocks' convolutions whose block, as far as it is in the section, adds nothing to the stream."""
    adds = {conv.block: bool(conv.channels(pattern)[1]) for conv in convs if conv.role is Role.LEAVE}
    return (conv for conv in convs if conv.block is None or adds.get(conv.block, True))


def _layer(conv: Conv, pattern: Pattern, live: Channels) -> Layer:
    point = conv.fan_in if conv.reads_stream else conv.fan_out if conv.writes_stream else None
    channels = () if point is None else pattern[point]
    place = {channel: index for index, channel in enumerate(live)}
    stream = tuple(place[channel] for channel in channels)
    return Layer(conv, *conv.channels(pattern), stream, whole=channels == live)


def _hidden_out(convs: Sequence[Conv], pattern: Pattern) -> tuple[int, bool]:
    """Channels that a section leaves beside the stream, and whether at full resolution."""
    if not convs:
        return 0, False
    last = convs[-1]
    outputs = last.channels(pattern)[1]
    match last.role:
        case Role.HEAD | Role.LEAVE:
            return 0, False
        case Role.ENTER:
            return outputs, False
        case Role.TAIL:
            return outputs // 4, True  # by PixelShuffle
        case Role.UP | Role.OUT:
            return outputs, True
