"""Architectures of the paper's shape with random weights, so that speed can be measured before a big training.

Time depends on how many channels are kept where, not on what the weights are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import torch

from tatsnet.data.degradation import GRID
from tatsnet.method.gates import Controller
from tatsnet.network.architecture import Architecture, Channels, NetworkConfig, Pattern, canonical, gather
from tatsnet.network.slicing import slice_section, split
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.network import Parts
from tatsnet.system.files import Tensors

PAPER = NetworkConfig(width=64, blocks=32)
CONTROLLER_HIDDEN = 64


class Layout(Enum):
    """Which channels of the skip stream the blocks of a section keep.

    TIED: one set for all of them, in runs of `Shape.group`. FREE: each point a set of its own, as the paper's gates
    choose. MIDDLE: all of them, only the channels within the blocks are pruned (what the paper slices for its
    latencies).
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
        group: channels that a tied layout keeps or drops together; it divides all but the middles, which are met on
            average over the blocks.
    """

    shared: int
    stream: int
    middle: int
    task_stream: int
    task_middle: int
    up: int
    group: int = 8


TATS = Shape(shared=61, stream=40, middle=42, task_stream=16, task_middle=16, up=16)
"""TA+TSNet of Tables 1 and 2: 62 % shared, FLOPs 28 % at M = 1 and 4.0 % at M = 27."""

TATS_16 = Shape(shared=61, stream=48, middle=35, task_stream=16, task_middle=16, up=16, group=16)
"""The same in runs of 16, the numbers that a processor with AVX-512 takes at once."""

TS = Shape(shared=0, stream=32, middle=32, task_stream=32, task_middle=30, up=32)
"""TSNet of Table 1: FLOPs 24.4 % whatever M."""


def architecture(shape: Shape, layout: Layout, seed: int = 0, network: NetworkConfig = PAPER) -> Architecture:
    """An architecture of a shape, with a pattern of its own for each of the 27 effects.

    Args:
        shape: for a network of 64 channels.
        layout: see `Layout`; MIDDLE needs far fewer middle channels for the same FLOPs, so it keeps the shape's and
            costs more.
    """
    draw = _Draw(seed, shape.group if layout is Layout.TIED else 1)
    every = tuple(range(network.width))
    stream = _stream(draw, shape.stream, layout, every)
    shared = _points(draw, network, range(shape.shared), stream, shape.middle, shape.up)
    patterns: list[Pattern] = []
    for _ in GRID:
        offered = stream() if shape.shared and layout is Layout.TIED else every
        kept = _stream(draw, shape.task_stream, layout, offered)
        rest = range(shape.shared, network.points)
        own = _points(draw, network, rest, kept, shape.task_middle, shape.up)
        patterns.append(canonical(network, shared + own, shape.shared))
    return gather(network, shape.shared, list(zip(GRID, patterns, strict=True)), CONTROLLER_HIDDEN)


class _Draw:
    """Draws channels in runs of so many."""

    def __init__(self, seed: int, run: int) -> None:
        self._random, self.run = random.Random(seed), run

    def __call__(self, count: int, channels: Channels) -> Channels:
        runs = [channels[i : i + self.run] for i in range(0, len(channels), self.run)]
        return tuple(sorted(channel for run in self._random.sample(runs, count // self.run) for channel in run))


def _points(
    draw: _Draw, network: NetworkConfig, points: range, stream: Callable[[], Channels], middle: int, up: int
) -> Pattern:
    """The kept channels at some points; a middle that runs do not divide is met on average over the blocks."""
    every = tuple(range(network.width))
    kept: list[Channels] = []
    owed = 0.0
    for point in points:
        if point == network.points - 1:
            kept.append(draw(up, every))
        elif point % 3 == 2:
            owed += middle
            count = draw.run * round(owed / draw.run)
            owed -= count
            kept.append(draw(count, every))
        else:
            kept.append(stream())
    return tuple(kept)


def _stream(draw: _Draw, count: int, layout: Layout, offered: Channels) -> Callable[[], Channels]:
    """What gives the kept channels of the skip stream at one point after the other, out of those offered."""
    if layout is Layout.MIDDLE:
        return lambda: offered
    if layout is Layout.TIED:
        channels = draw(count, offered)
        return lambda: channels
    return lambda: draw(count, offered)


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
