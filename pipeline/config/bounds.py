"""The greatest value of every number in `params.yaml`, with the reason; the sections check the least ones.

A bound is far above what a search needs. It keeps a slip of the keyboard from ending in a traceback, or from taking
all the memory or the disk, hours later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pipeline.config.checks import GREATEST_SIDE
from pipeline.config.reading import Place
from tatsnet.network.architecture import NetworkConfig

Number = int | float

_SEED = (2**31 - 1, "the random generators take 32 bits, and the numbers of trials and photos are added to it")
_STEPS = (1_000_000_000, "a thousand times the paper's; at 1000 steps a second that is twelve days")
_RATE = (10.0, "a training diverges long before it")
_WEIGHT = (5e38, "no loss is a finite number there")
_SHARE = (1.0, "it is a share")
_CORES = (1024, "no machine that this runs on has more cores")
_PHOTOS = (100_000, "an evaluation set has 27 files for each")
_RATE_USD = (100_000.0, "it is in dollars an hour")

BOUNDS: dict[str, tuple[Number, str]] = {
    "eval.crop": (GREATEST_SIDE, "photos have sides of that many pixels at most"),
    "eval.valid_crops": _PHOTOS,
    "eval.test_crops": _PHOTOS,
    "eval.seed": _SEED,
    "network.width": (1024, "sixteen times the paper's"),
    "network.blocks": (1024, "thirty-two times the paper's"),
    "train.patch": (2048, "larger patches than photos cannot be cut"),
    "train.batch": (65_536, "a batch is held in memory"),
    "train.lr": _RATE,
    "train.controller_lr": _RATE,
    "train.clip": (1e9, "so large a norm clips nothing"),
    "train.workers": _CORES,
    "train.threads": _CORES,
    "train.seed": _SEED,
    "pretrain.iterations": _STEPS,
    "search.latency.threads": _CORES,
    "search.trials": (1_000_000, "a study of more trials does not fit into the memory of its driver"),
    "search.schedule.iterations": _STEPS,
    "search.schedule.warmup": _SHARE,
    "search.schedule.specific": _SHARE,
    "search.schedule.agnostic": _SHARE,
    "search.method.min_channels": (1024, "a network has no more channels"),
    "search.method.group": (1024, "a network has no more channels"),
    "search.method.effects": (1_000_000, "the shared part's cost is divided by it, and nothing is left of it there"),
    "search.method.ema": _SHARE,
    "search.method.controller_hidden": (8192, "two layers of so many units are held by every trial"),
    "search.method.specific_points": (3 * 1024 + 3, "a network has no more selection points"),
    "search.method.shared_points": (3 * 1024 + 3, "a network has no more selection points"),
    "search.space.lambda1.low": _WEIGHT,
    "search.space.lambda1.high": _WEIGHT,
    "search.space.lambda2.low": _WEIGHT,
    "search.space.lambda2.high": _WEIGHT,
    "search.space.gamma.low": _SHARE,
    "search.space.gamma.high": _SHARE,
    "search.suggestions.lambda1": _WEIGHT,
    "search.suggestions.lambda2": _WEIGHT,
    "search.suggestions.gamma": _SHARE,
    "search.control.gain": _SHARE,
    "search.control.off_rms": (255.0, "a pixel has no more steps"),
    "search.stopping.rungs": _SHARE,
    "search.stopping.keep": _SHARE,
    "search.resources.concurrent": (10_000, "one driver follows them all"),
    "search.resources.cpus_per_trial": _CORES,
    "search.resources.gpus_per_trial": (64, "one trial runs on one machine"),
    "search.resources.max_failures": (1000, "each restart costs the time of a trial"),
    "search.limits.hours": (1_000_000, "that is a century; null is no limit"),
    "search.limits.usd": (1e9, "null is no limit"),
    "search.seed": _SEED,
    "select.budgets": _SHARE,
    "finetune.iterations": _STEPS,
    "finetune.processes": _CORES,
    "benchmark.repeats": (100_000, "each is a timed run of every network and size"),
    "benchmark.best_of_27_crops": _PHOTOS,
    "cost.gpu_tflops": (1_000_000.0, "it is in TFLOP/s of one GPU"),
    "cost.gpu_hour_usd": _RATE_USD,
    "cost.cpu_hour_usd": _RATE_USD,
}
"""By the dotted name without the indices of lists."""

MOST_WEIGHTS = 500_000_000
MOST_ACTIVATIONS = 32_000_000_000


def out_of_bounds(section: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Places of a section, and of all below it, whose numbers are too large, with messages."""
    if is_dataclass(section):
        for field in fields(section):
            yield from out_of_bounds(getattr(section, field.name), (*place, field.name))
    elif isinstance(section, tuple):
        for index, item in enumerate(section):
            yield from out_of_bounds(item, (*place, index))
    elif isinstance(section, int | float) and not isinstance(section, bool):
        most, reason = BOUNDS[bound_name(place)]
        if section > most:
            yield place, f"must be at most {_said(most)}, got {_said(section)}: {reason}"


def _said(number: Number) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def bound_name(place: Place) -> str:
    """A place's name in `BOUNDS`."""
    return ".".join(part for part in place if isinstance(part, str))


def too_much_memory(network: NetworkConfig, batch: int, patch: int) -> Iterator[tuple[Place, str]]:
    """Sizes that are within their bounds and too large together."""
    convolutions = 2 * network.blocks + 5
    weights = 9 * network.width**2 * convolutions
    if weights > MOST_WEIGHTS:
        yield (
            ("network", "width"),
            (
                f"and network.blocks make a network of {weights:.1e} weights, and {MOST_WEIGHTS:.0e} are the most: "
                "lower one of them"
            ),
        )
    activations = batch * (patch // 2) ** 2 * network.width * convolutions
    if activations > MOST_ACTIVATIONS:
        yield (
            ("train", "batch"),
            (
                f"and train.patch make a step of this network hold some {4 * activations / 2**30:.0f} GiB, and "
                f"{4 * MOST_ACTIVATIONS / 2**30:.0f} are the most: lower one of them"
            ),
        )
