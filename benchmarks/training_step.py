"""What a training step of the search costs beside a dense one: ratios in one run, the phases in turn.

Each phase is the training loop itself (`tatsnet.method.training`) on a batch that is ready, with its optimiser, held
in one phase for good, and made to report after every step. A round times one step of every phase; a ratio is taken
within its round. The preparation of a batch is timed beside it. The spread is that of the middle half of the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tatsnet.data.pairs import Batch, PairSampler, PhotoPack
from tatsnet.method import training
from tatsnet.method.masked import MaskedNetwork, Phase
from tatsnet.method.objective import Objective, Variant
from tatsnet.method.settings import MethodConfig, Schedule, TrainConfig
from tatsnet.method.training import Progress, search, train_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.system.allocator import keep_freed_memory

CPU = torch.device("cpu")
DENSE = "dense"
FOREVER = 10**9
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

ENDS = {Phase.SPECIFIC: (0.0, 1.0, 1.0), Phase.JOINT: (0.0, 0.0, 1.0), Phase.FROZEN: (0.0, 0.0, 0.0)}
"""Ends of warm-up, specific and joint phase that leave a training in one phase."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is trained: a network, a batch of patches, a method's minimum of channels."""

    width: int
    blocks: int
    batch: int
    patch: int
    min_channels: int
    hidden: int


SIZES = {
    "quick": Size(width=16, blocks=8, batch=16, patch=32, min_channels=2, hidden=32),
    "large": Size(width=64, blocks=8, batch=8, patch=32, min_channels=8, hidden=64),
}


def sampler(size: Size) -> PairSampler:
    """Pairs of a made-up photo."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    return PairSampler(PhotoPack.of([noise]), patch=size.patch, batch=size.batch, relative=False, seed=0)


def trainings(size: Size, method: dict[str, Any]) -> dict[str, Iterator[Progress]]:
    """Endless trainings: the dense one, and one in each phase; every item is a report after a step."""
    network = NetworkConfig(width=size.width, blocks=size.blocks)
    config = TrainConfig(patch=size.patch, batch=size.batch, lr=1e-5, controller_lr=1e-5, device="cpu")
    ready = Batch(*sampler(size)[0])
    made = {DENSE: train_dense(SuperNetwork(network, _seeded()), itertools.repeat(ready), FOREVER, config, CPU)}
    settings = MethodConfig(min_channels=size.min_channels, controller_hidden=size.hidden, **method)
    aim = Objective(variant=Variant.TA_TS, lambda1=6e-3, lambda2=3e-3, gamma=0.9)
    for phase, (warmup, specific, agnostic) in ENDS.items():
        schedule = Schedule(iterations=FOREVER, warmup=warmup, specific=specific, agnostic=agnostic)
        model = MaskedNetwork(network, settings, gamma=aim.gamma, sharing=True, generator=_seeded())
        made[phase.value] = search(model, aim, itertools.repeat(ready), schedule, config, CPU, _seeded())
    return made


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def run(size: Size, rounds: int, method: dict[str, Any], clock: Callable[[], float]) -> dict[str, Any]:
    """Milliseconds per step and ratios to the dense step: medians over the rounds, and the spread in %."""

    def clocked(work: Callable[[], object]) -> float:
        began = clock()
        work()
        return 1000 * (clock() - began)

    pairs, made = sampler(size), trainings(size, method)
    for steps in made.values():
        for _ in range(3):
            next(steps)
    spent: dict[str, list[float]] = {name: [] for name in made}
    data: list[float] = []
    for index in range(rounds):
        for name, steps in made.items():
            spent[name].append(clocked(partial(next, steps)))
        data.append(clocked(partial(pairs.__getitem__, index)))
    ratios = {name: [a / b for a, b in zip(times, spent[DENSE], strict=True)] for name, times in spent.items()}
    return {
        "ms": {name: _middle(times) for name, times in {**spent, "data": data}.items()},
        "ratio": {name: _middle(values) for name, values in ratios.items() if name != DENSE},
    }


def _middle(values: Sequence[float]) -> dict[str, float]:
    median = statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4)
    return {"median": median, "spread_pct": 100 * (high - low) / median}


def table(results: dict[str, Any]) -> str:
    """Markdown: a row per size."""
    phases = [phase.value for phase in ENDS]
    head = ["size", "dense, ms", *phases, "data, ms"]
    lines = [f"| {' | '.join(head)} |", f"|:--{'|--:' * (len(head) - 1)}|"]
    for name, result in results.items():
        ms, ratio = result["ms"], result["ratio"]
        cells = [name, f"{ms[DENSE]['median']:.1f}"]
        cells += [f"{ratio[phase]['median']:.3f} (spread {ratio[phase]['spread_pct']:.0f} %)" for phase in phases]
        cells.append(f"{ms['data']['median']:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def profile(size: Size, phase: str, method: dict[str, Any]) -> str:
    """Where the time of one phase goes, by operator."""
    steps = trainings(size, method)[phase]
    next(steps)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(20):
            next(steps)
    return str(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=50))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the figures."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.training_step --rounds 60 --json /tmp/training_step.json",
    )
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="cpu: for a machine that is busy")
    parser.add_argument("--group", type=int, default=1, help="channels that open and close together")
    parser.add_argument("--tied", action="store_true", help="one set of skip channels per section")
    parser.add_argument(
        "--profile", metavar="PHASE", help="print where the time of dense, specific, joint or frozen goes"
    )
    parser.add_argument("--json", type=Path, help="file of the figures")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    training.REPORT_EVERY = 1
    method = {"group": args.group, "tied": args.tied} if args.group > 1 or args.tied else {}
    if args.profile:
        for name in args.sizes:
            print(profile(SIZES[name], args.profile, method))
        return 0
    results = {
        name: asdict(SIZES[name]) | run(SIZES[name], args.rounds, method, CLOCKS[args.clock]) for name in args.sizes
    }
    if args.json:
        args.json.write_text(
            json.dumps({"threads": args.threads, "clock": args.clock, "method": method, "sizes": results}, indent=1)
        )
    print(table(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
