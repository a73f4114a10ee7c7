"""Time per effect of networks, measured in turn in one process, so that a noisy machine is equally noisy to all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Work = Callable[[], int]
"""Makes some effects of one image and says how many."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds per effect: median over the rounds, and (slowest - fastest) / median in percent."""

    ms_per_effect: float
    spread_pct: float


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch's threads within the block.

    Raises:
        ValueError: fewer than one.
    """
    if count < 1:
        raise ValueError(f"threads must be at least 1, got {count}")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure(
    works: Mapping[str, Work],
    rounds: int,
    report: Callable[[str], None] = lambda name: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time each work once per round, in turn; one round before that is not counted.

    Args:
        works: by the network's name; an accelerator's work must wait for its end itself.
        rounds: counted rounds, at least 1.
        report: is told a network's name before each of its turns.

    Raises:
        ValueError: no round.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    samples: dict[str, list[float]] = {name: [] for name in works}
    for counted in [False] + [True] * rounds:
        for name, work in works.items():
            report(name)
            began = clock()
            effects = work()
            spent = 1000 * (clock() - began) / effects
            if counted:
                samples[name].append(spent)
    return {name: _timing(values) for name, values in samples.items()}


def _timing(values: list[float]) -> Timing:
    middle = statistics.median(values)
    return Timing(ms_per_effect=middle, spread_pct=100 * (max(values) - min(values)) / middle if middle else 0.0)
