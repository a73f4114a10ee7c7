"""What a controllable restoration network is made of: its convolutions, its selection points, its kept channels.

Selection points of a super network with B blocks are numbered 0 .. 3B + 2 (paper section 7.3, Figure 3):
0 is the output of the head, block b has 1 + 3b (in), 2 + 3b (mid) and 3 + 3b (out), 3B + 1 is the input of the tail,
3B + 2 the output of the up-convolution. The first `shared` of them are task-agnostic (eq. 10).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from tatsnet.network.tasks import ZeroTask, check_task

ZERO_TASK_BEFORE: ZeroTask = "learned"
"""Of networks whose files do not name it: they are older than the other form."""

Channels = tuple[int, ...]
"""Sorted indices of the channels kept at one selection point."""

MOST = 4096
"""Channels, and blocks, of the largest network."""

MOST_HIDDEN = 2**16
"""Width of the largest controller."""

Pattern = tuple[Channels, ...]
"""The kept channels at every selection point, for one gate pattern."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Size of the super network. The paper's is width 64 with 32 blocks.

    Args:
        width: channels of the skip stream; a multiple of 4, because the tail ends in a PixelShuffle(2).
        blocks: residual blocks.
        zero_task: `identity` leaves an image as it is at task vector 0; `learned` is the paper's form.

    Raises:
        ValueError: a size below its least value, or a width that 4 does not divide.
    """

    width: int = 64
    blocks: int = 32
    zero_task: ZeroTask = "identity"

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width must be a multiple of 4, at least 4, got {self.width}")
        if self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {self.blocks}")
        for name in ("width", "blocks"):
            if getattr(self, name) > MOST:
                raise ValueError(f"{name} must be at most {MOST}: no machine holds a larger network")
        if self.zero_task not in ("identity", "learned"):
            raise ValueError(f"zero_task must be identity or learned, got {self.zero_task!r}")

    @property
    def points(self) -> int:
        """Number of channel-selection points, N = 3 x blocks + 3 (99 for the paper's network)."""
        return 3 * self.blocks + 3

    @property
    def whole(self) -> Pattern:
        """Every channel at every selection point: the super network as it is."""
        return (tuple(range(self.width)),) * self.points


class Role(Enum):
    """What a convolution does; the value is how its weights are named.

    HEAD makes the skip stream from the image at half resolution. Of each residual block, ENTER reads the stream and
    LEAVE adds to it. TAIL reads the stream and, with a PixelShuffle, goes to full resolution; UP and OUT follow it.
    """

    HEAD = "head"
    ENTER = "conv1"
    LEAVE = "conv2"
    TAIL = "tail"
    UP = "up"
    OUT = "out"


@dataclass(frozen=True)
class Conv:
    """One 3x3 convolution of the super network.

    Attributes:
        role: what it does.
        block: number of its residual block; None outside of them.
        fan_in, fan_out: a selection point's number, or None where channels are never selected.
        inputs, outputs: channels when nothing is pruned.
        area: output pixels per image pixel: 1/4 at half resolution.
        shared_from: the convolution is task-agnostic when at least so many selection points are.
    """

    role: Role
    block: int | None
    fan_in: int | None
    inputs: int
    fan_out: int | None
    outputs: int
    area: float
    shared_from: int

    @property
    def name(self) -> str:
        """The prefix of its tensors in the super network's state, as `blocks.3.conv1`."""
        return self.role.value if self.block is None else f"blocks.{self.block}.{self.role.value}"

    @property
    def reads_stream(self) -> bool:
        """Whether its inputs are channels of the skip stream."""
        return self.role in (Role.ENTER, Role.TAIL)

    @property
    def writes_stream(self) -> bool:
        """Whether its outputs are added to the skip stream."""
        return self.role in (Role.HEAD, Role.LEAVE)

    def channels(self, pattern: Pattern) -> tuple[int, int]:
        """The numbers of inputs and of outputs that a pattern keeps."""
        return (
            self.inputs if self.fan_in is None else len(pattern[self.fan_in]),
            self.outputs if self.fan_out is None else len(pattern[self.fan_out]),
        )


def convolutions(network: NetworkConfig) -> tuple[Conv, ...]:
    """All convolutions of the super network, first to last."""
    width, blocks = network.width, network.blocks
    tail_in, up_out = 3 * blocks + 1, 3 * blocks + 2
    convs = [Conv(Role.HEAD, None, None, 3, 0, width, 0.25, 1)]
    for block in range(blocks):
        into, mid, out = 1 + 3 * block, 2 + 3 * block, 3 + 3 * block
        convs.append(Conv(Role.ENTER, block, into, width, mid, width, 0.25, mid + 1))
        convs.append(Conv(Role.LEAVE, block, mid, width, out, width, 0.25, out + 1))
    convs.append(Conv(Role.TAIL, None, tail_in, width, None, width, 0.25, tail_in + 1))
    convs.append(Conv(Role.UP, None, None, width // 4, up_out, width, 1.0, up_out + 1))
    convs.append(Conv(Role.OUT, None, up_out, width, None, 3, 1.0, up_out + 1))
    return tuple(convs)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A found network: what is shared, and which channels each task keeps (the result of the search, section 3.2).

    Args:
        network: the super network that it was cut from.
        shared: leading selection points that are task-agnostic, 0 .. points (phi of eq. 10).
        patterns: the distinct gate patterns; all agree on the first `shared` points.
        tasks: task vectors in [0, 1]^3, each with the index of its pattern.
        controller_hidden: width of the controller that chooses the patterns; 0 where there is none.

    Raises:
        ValueError: an index out of range, channels not sorted or not unique, patterns that disagree on a shared point.
    """

    network: NetworkConfig
    shared: int
    patterns: tuple[Pattern, ...]
    tasks: tuple[tuple[tuple[float, ...], int], ...]
    controller_hidden: int = 0

    def __post_init__(self) -> None:
        points = self.network.points
        if not 0 <= self.shared <= points:
            raise ValueError(f"shared must be in 0 .. {points}, got {self.shared}")
        if not self.patterns or not self.tasks:
            raise ValueError("an architecture needs at least one pattern and one task")
        for index, pattern in enumerate(self.patterns):
            if len(pattern) != points:
                raise ValueError(f"pattern {index} has {len(pattern)} selection points, the network {points}")
            if pattern[: self.shared] != self.patterns[0][: self.shared]:
                raise ValueError(f"pattern {index} disagrees with pattern 0 on a shared selection point")
            for point, kept in enumerate(pattern):
                if list(kept) != sorted(set(kept)) or (kept and not 0 <= kept[0] <= kept[-1] < self.network.width):
                    raise ValueError(f"pattern {index}, point {point}: channels must be sorted, unique and in range")
        for task, index in self.tasks:
            if not 0 <= index < len(self.patterns):
                raise ValueError(f"task {task} names pattern {index}, there are {len(self.patterns)}")

    @property
    def shared_percent(self) -> float:
        """Shared selection points in percent of all: SL in Tables 3 and 4."""
        return 100.0 * self.shared / self.network.points

    def to_json(self) -> dict[str, Any]:
        """The architecture as plain lists, numbers and strings."""
        return {
            "network": asdict(self.network),
            "shared": self.shared,
            "patterns": [[list(kept) for kept in pattern] for pattern in self.patterns],
            "tasks": [{"task": list(task), "pattern": index} for task, index in self.tasks],
            "controller_hidden": self.controller_hidden,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Architecture:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a missing key, a value of the wrong kind, or an architecture that is not valid.
        """
        try:
            hidden = whole_number("controller_hidden", data["controller_hidden"])
            if not 0 <= hidden <= MOST_HIDDEN:
                raise ValueError(f"controller_hidden must be in 0 .. {MOST_HIDDEN}, got {hidden}")
            return Architecture(
                network=_network(data["network"]),
                shared=whole_number("shared", data["shared"]),
                patterns=tuple(_pattern(pattern) for pattern in _list("patterns", data["patterns"])),
                tasks=tuple(
                    (_task(entry["task"]), whole_number("pattern", entry["pattern"]))
                    for entry in _list("tasks", data["tasks"])
                ),
                controller_hidden=hidden,
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not an architecture: {error!r}") from error


def _network(data: dict[str, Any]) -> NetworkConfig:
    width, blocks = (whole_number(name, data[name]) for name in ("width", "blocks"))
    return NetworkConfig(width=width, blocks=blocks, zero_task=data.get("zero_task", ZERO_TASK_BEFORE))


def whole_number(name: str, value: object) -> int:
    """A value from JSON that must be a whole number.

    Raises:
        ValueError: it is something else, such as 1.5, true or "1".
    """
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, got {value!r:.40}")
    return value


def _list(name: str, value: object) -> list[Any]:
    if type(value) is not list:
        raise ValueError(f"{name} must be a list, got {value!r:.40}")
    return value


def _pattern(points: object) -> Pattern:
    return tuple(
        tuple(whole_number("a channel", channel) for channel in _list("a selection point", point))
        for point in _list("a pattern", points)
    )


def _task(values: object) -> tuple[float, ...]:
    levels = _list("a task", values)
    if any(type(level) not in (int, float) for level in levels):
        raise ValueError(f"a task has three numbers, got {values!r:.60}")
    return check_task(levels)


def gather(
    network: NetworkConfig,
    shared: int,
    by_task: Sequence[tuple[tuple[float, ...], Pattern]],
    controller_hidden: int = 0,
) -> Architecture:
    """An architecture from one pattern per task: equal patterns become one."""
    order: dict[Pattern, int] = {}
    tasks = tuple((tuple(task), order.setdefault(pattern, len(order))) for task, pattern in by_task)
    return Architecture(
        network=network, shared=shared, patterns=tuple(order), tasks=tasks, controller_hidden=controller_hidden
    )


def canonical(network: NetworkConfig, pattern: Pattern, shared: int) -> Pattern:
    """The same function with fewer channels: what is never written is not read, what is never read is not written.

    A channel of the skip stream that the head and no earlier block has written is zero, so reading it is idle. A
    channel that nothing reads later need not be written, and a block that writes nothing need not compute; that is
    decided for task-specific points only, because other tasks may read what a shared point writes.
    """
    kept = [set(channels) for channels in pattern]
    written = set(kept[0])
    for block in range(network.blocks):
        kept[1 + 3 * block] &= written
        written |= kept[3 + 3 * block]
    read = kept[3 * network.blocks + 1] & written
    kept[3 * network.blocks + 1] = set(read)
    for block in reversed(range(network.blocks)):
        into, mid, out = 1 + 3 * block, 2 + 3 * block, 3 + 3 * block
        if out >= shared:
            kept[out] &= read
            for point in (mid, into):
                if point >= shared and not kept[out]:
                    kept[point] = set()
        read |= kept[into]
    if shared == 0:
        kept[0] &= read
    return tuple(tuple(sorted(channels)) for channels in kept)


def dumps(architecture: Architecture) -> str:
    """JSON text of an architecture."""
    return json.dumps(architecture.to_json(), separators=(",", ":"))
