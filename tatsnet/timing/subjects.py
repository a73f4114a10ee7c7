"""The networks of a benchmark, each as something that makes effects of an image in a given runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import Architecture, NetworkConfig
from tatsnet.network.flops import dense_flops, effect_cost
from tatsnet.network.supernet import SuperNetwork
from tatsnet.network.tasks import Task
from tatsnet.pruned.network import ExtractedNetwork, Parts
from tatsnet.runtimes import DenseRestorer, Runtime
from tatsnet.timing.cells import DENSE
from tatsnet.timing.synthetic import TATS, TATS_16, TS, Layout, architecture, random_parts
from tatsnet.timing.traffic import dense_moved, moved

Effects = Callable[[Tensor, Sequence[Task]], Iterator[Tensor]]
EFFECTS = len(GRID)


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network to time.

    Attributes:
        name: its row.
        tasks: the effects that are made of an image; fewer than 27 where all cost the same.
        flops: per effect of 27 on an image of (height, width).
        moved: numbers read and written per effect of 27, likewise (`traffic`).
        build: makes it ready in a runtime.
    """

    name: str
    tasks: tuple[Task, ...]
    flops: Callable[[int, int], float]
    moved: Callable[[int, int], float]
    build: Callable[[Runtime], Effects]


def dense(supernet: SuperNetwork, effects: int) -> Subject:
    """The super network, every channel; its effects all cost the same, so a few of the 27 will do."""

    def build(runtime: Runtime) -> Effects:
        return DenseRestorer(supernet, runtime).effects

    return Subject(
        name=DENSE,
        tasks=spread(effects),
        flops=lambda height, width: dense_flops(supernet.config, height, width),
        moved=lambda height, width: dense_moved(supernet.config, height, width),
        build=build,
    )


def random_dense(network: NetworkConfig, effects: int) -> Subject:
    """`dense` with random weights."""
    return dense(SuperNetwork(network, torch.Generator().manual_seed(0)).eval(), effects)


def pruned(name: str, parts: Parts, tasks: tuple[Task, ...] = GRID, counted: Architecture | None = None) -> Subject:
    """An extracted network.

    Args:
        tasks: the effects to make; all 27 where a part of the time is shared between them.
        counted: the architecture whose FLOPs and traffic it is credited with; its own by default.
    """
    credited = counted or parts.architecture

    def build(runtime: Runtime) -> Effects:
        network = ExtractedNetwork(parts, runtime=runtime)

        def effects(image_BCHW: Tensor, tasks: Sequence[Task]) -> Iterator[Tensor]:
            encoded = network.encode(image_BCHW)
            network.prepare(tasks)
            return (network.effect(encoded, task) for task in tasks)

        return effects

    return Subject(
        name=name,
        tasks=tasks,
        flops=lambda height, width: effect_cost(credited, height, width, EFFECTS).per_effect,
        moved=lambda height, width: moved(credited, height, width, EFFECTS),
        build=build,
    )


def synthetic(few: int) -> list[Subject]:
    """The rows of Table 1, and what becomes of TA+TSNet's time when its channels are not laid out for it.

    Args:
        few: effects of the slow rows.
    """
    free = architecture(TATS, Layout.FREE)
    middle = random_parts(architecture(TATS, Layout.MIDDLE))
    return [
        pruned("TSNet", random_parts(architecture(TS, Layout.TIED)), spread(few)),
        pruned("TA+TSNet", random_parts(architecture(TATS, Layout.TIED)), GRID),
        pruned("TA+TSNet, runs of 16", random_parts(architecture(TATS_16, Layout.TIED)), GRID),
        pruned("TA+TSNet, free channels", random_parts(free), GRID),
        pruned("TA+TSNet, middle channels only", middle, GRID, counted=free),
    ]


def spread(effects: int) -> tuple[Task, ...]:
    """So many of the 27 effects, evenly spread."""
    return tuple(GRID[(2 * k + 1) * EFFECTS // (2 * effects)] for k in range(effects))
