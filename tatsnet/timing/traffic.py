"""How many numbers a network moves: with the FLOPs, the floor under its time on a machine that is perfect at both.

Each convolution reads its kept inputs once and writes its kept outputs once; activation, scale and addition are done on
the way, and what is added to the skip stream is read, too. Weights are small beside that and not counted.
"""

from __future__ import annotations

from collections.abc import Callable

from tatsnet.network.architecture import Architecture, Conv, NetworkConfig, Pattern, convolutions
from tatsnet.network.flops import even
from tatsnet.network.slicing import split, writes_stream

Kept = Callable[[int], int]
"""Channels kept at a selection point."""


def dense_moved(network: NetworkConfig, height: int, width: int) -> float:
    """Numbers that the super network moves per effect."""
    return even(height) * even(width) * _per_pixel(convolutions(network), lambda point: network.width)


def moved(architecture: Architecture, height: int, width: int, effects: int) -> float:
    """Numbers that a found network moves per effect, when `effects` are made of one image: the mean over its tasks."""
    shared, specific = split(architecture)
    once = _per_pixel(shared, _kept(architecture.patterns[0]))
    each = [_per_pixel(specific, _kept(pattern)) for pattern in architecture.patterns]
    mean = sum(each[index] for _, index in architecture.tasks) / len(architecture.tasks)
    return even(height) * even(width) * (once / effects + mean)


def _kept(pattern: Pattern) -> Kept:
    return lambda point: len(pattern[point])


def _per_pixel(convs: tuple[Conv, ...], kept: Kept) -> float:
    total = 0.0
    for conv in convs:
        inputs = conv.inputs if conv.fan_in is None else kept(conv.fan_in)
        outputs = conv.outputs if conv.fan_out is None else kept(conv.fan_out)
        added = outputs if writes_stream(conv) and conv.name != "head" else 0
        total += inputs * (1.0 if conv.name == "head" else conv.area) + (outputs + added) * conv.area
    return total
