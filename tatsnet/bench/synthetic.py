"""Architectures of the paper's shape with random weights, so that speed can be measured before a big training.

Time depends on how many channels are kept where, not on what the weights are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import torch

from tatsnet.architecture import Architecture, Channels, NetworkConfig, Pattern, canonical, gather
from tatsnet.degradation import Task, evaluation_grid
from tatsnet.extracted import Parts
from tatsnet.files import Tensors
from tatsnet.gates import Controller
from tatsnet.slicing import slice_section, split
from tatsnet.supernet import SuperNetwork

PAPER = NetworkConfig(width=64, blocks=32)
CONTROLLER_HIDDEN = 64
GRID: tuple[Task, ...] = tuple(degradation.task for degradation in evaluation_grid())


class Layout(Enum):
    """Which channels of the skip stream the blocks of a section keep.

    TIED: one set for all of them, in runs of 8. FREE: each point a set of its own, as the paper's gates choose.
    MIDDLE: all of them, only the channels within the blocks are pruned (what the paper slices for its latencies).
    """

    TIED = "tied"
    FREE = "free"
    MIDDLE = "middle"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many channels a synthetic network keeps.

    Attributes:
        shared: task-agnostic selection points.
        stream, middle: kept channels of the skip stream and within a block, in the shared part.
        task_stream, task_middle: the same in a task-specific part.
        up: kept outputs of the up-convolution.
    """

    shared: int
    stream: int
    middle: int
    task_stream: int
    task_middle: int
    up: int


TATS = Shape(shared=61, stream=40, middle=42, task_stream=16, task_middle=16, up=16)
"""TA+TSNet of Tables 1 and 2: 62 % shared, FLOPs 28 % at M = 1 and 4.0 % at M = 27."""

TS = Shape(shared=0, stream=32, middle=32, task_stream=32, task_middle=30, up=32)
"""TSNet of Table 1: FLOPs 24.4 % whatever M."""


def architecture(shape: Shape, layout: Layout, seed: int = 0, network: NetworkConfig = PAPER) -> Architecture:
    """An architecture of a shape, with a pattern of its own for each of the 27 effects.

    Args:
        shape: for a network of 64 channels.
        layout: see `Layout`; MIDDLE needs far fewer middle channels for the same FLOPs, so it keeps the shape's and
            costs more.
    """
    draw = random.Random(seed)
    stream = _stream(shape.stream, layout, draw, network.width)
    shared = _points(network, range(shape.shared), stream, shape.middle, shape.up, layout, draw)
    patterns: list[Pattern] = []
    for _ in GRID:
        kept = _stream(shape.task_stream, layout, draw, network.width, stream if shape.shared else None)
        rest = range(shape.shared, network.points)
        own = _points(network, rest, kept, shape.task_middle, shape.up, layout, draw)
        patterns.append(canonical(network, shared + own, shape.shared))
    return gather(network, shape.shared, list(zip(GRID, patterns, strict=True)), CONTROLLER_HIDDEN)


def _points(
    network: NetworkConfig,
    points: range,
    stream: Callable[[], Channels],
    middle: int,
    up: int,
    layout: Layout,
    draw: random.Random,
) -> Pattern:
    """The kept channels at some points; a middle that 8 does not divide is met on average over the blocks."""
    kept: list[Channels] = []
    owed = 0.0
    for point in points:
        if point == network.points - 1:
            kept.append(_some(up, layout, draw, range(network.width)))
        elif point % 3 == 2:
            owed += middle
            count = 8 * round(owed / 8) if layout is Layout.TIED else middle
            owed -= count
            kept.append(_some(count, layout, draw, range(network.width)))
        else:
            kept.append(stream())
    return tuple(kept)


def _stream(
    count: int, layout: Layout, draw: random.Random, width: int, within: Callable[[], Channels] | None = None
) -> Callable[[], Channels]:
    """What gives the kept channels of the skip stream at one point after the other."""
    if layout is Layout.MIDDLE:
        return lambda: tuple(range(width))
    if layout is Layout.TIED:
        channels = _some(count, layout, draw, within() if within else range(width))
        return lambda: channels
    return lambda: _some(count, layout, draw, range(width))


def _some(count: int, layout: Layout, draw: random.Random, channels: Channels | range) -> Channels:
    if layout is not Layout.TIED:
        return tuple(sorted(draw.sample(channels, count)))
    groups = draw.sample([channels[i : i + 8] for i in range(0, len(channels), 8)], count // 8)
    return tuple(sorted(channel for group in groups for channel in group))


@torch.no_grad()
def random_parts(architecture: Architecture, seed: int = 0) -> Parts:
    """An extracted network of an architecture, with random weights; it knows the architecture's tasks only."""
    generator = torch.Generator().manual_seed(seed)
    if not architecture.controller_hidden:
        architecture = replace(architecture, controller_hidden=CONTROLLER_HIDDEN)
    network = architecture.network
    supernet = SuperNetwork(network, generator)
    weights = supernet.state_dict()
    controller = Controller(network, architecture.controller_hidden, generator)
    control: Tensors = {f"controller.{name}": weight for name, weight in controller.state_dict().items()}
    control |= {f"global_scale.{name}": weight for name, weight in supernet.global_scale.state_dict().items()}
    shared, specific = split(architecture)
    return Parts(
        architecture=architecture,
        min_channels=0,
        prune=True,
        shared=slice_section(weights, network, shared, architecture.patterns[0], shared=True),
        patterns=tuple(slice_section(weights, network, specific, p, shared=False) for p in architecture.patterns),
        control=control,
        rest={},
        figures={},
    )
