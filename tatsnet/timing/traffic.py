"""How many numbers a network moves: with the FLOPs, the floor under its time on a machine that is perfect at both.

Each convolution reads its kept inputs once and writes its kept outputs once; activation, scale and addition are done on
the way, and what is added to the skip stream is read, too. Weights are small beside that and not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from tatsnet.network.architecture import Architecture, Conv, NetworkConfig, Pattern, Role, convolutions
from tatsnet.network.flops import even
from tatsnet.network.slicing import split


def dense_moved(network: NetworkConfig, height: int, width: int) -> float:
    """Numbers that the super network moves per effect."""
    return even(height) * even(width) * _per_pixel(convolutions(network), network.whole)


def moved(architecture: Architecture, height: int, width: int, effects: int) -> float:
    """Numbers that a found network moves per effect, when `effects` are made of one image: the mean over its tasks."""
    shared, specific = split(architecture)
    once = _per_pixel(shared, architecture.patterns[0])
    each = [_per_pixel(specific, pattern) for pattern in architecture.patterns]
    mean = sum(each[index] for _, index in architecture.tasks) / len(architecture.tasks)
    return even(height) * even(width) * (once / effects + mean)


def _per_pixel(convs: Sequence[Conv], pattern: Pattern) -> float:
    total = 0.0
    for conv in convs:
        inputs, outputs = conv.channels(pattern)
        added = outputs if conv.writes_stream and conv.role is not Role.HEAD else 0
        total += inputs * (1.0 if conv.role is Role.HEAD else conv.area) + (outputs + added) * conv.area
    return total
