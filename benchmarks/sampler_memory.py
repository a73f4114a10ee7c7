"""What a long search loses by a sampler that sees the last trials and the front only: beside one that sees all of them.

On a made-up problem of the search space's shape, since thousands of real trials are out of reach: FLOPs fall with
lambda1 and, for variants that share, with lambda2; PSNR falls with both, most where gamma is far from its best, and has
noise. Random points stand beside the two.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from pipeline.config import Range, SearchConfig, Space, load
from pipeline.search.study.pareto import Candidate, hypervolume, pareto_set
from pipeline.search.study.sampler import MEMORY, Sampler
from pipeline.search.study.space import Point, sample
from tatsnet.method.objective import Variant

FLOOR_DB = 25.0
DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)


def figures(point: Point, space: Space, noise: random.Random) -> tuple[float, float]:
    """PSNR in dB and FLOPs as a share of dense of a made-up trial."""

    def place(value: float, bounds: Range) -> float:
        return math.log(value / bounds.low) / math.log(bounds.high / bounds.low)

    strength = place(point.lambda1, space.lambda1)
    psnr_db, flops = 30 - 2.5 * strength**2, 0.03 + 0.5 * (1 - strength) ** 2
    if Variant(point.variant).shares:
        sharing, off = place(point.lambda2, space.lambda2), place(point.gamma, space.gamma) - 0.6
        psnr_db -= sharing**2 + 3 * sharing * off**2
        flops *= 1 - 0.7 * sharing
    return psnr_db + noise.gauss(0, 0.05), flops


def by_tpe(config: SearchConfig, memory: int) -> Callable[[int], Point]:
    """Points of the pipeline's sampler, which is told what they are worth before the next."""
    sampler, noise = Sampler(config, DIRECTIONS, [], memory), random.Random(config.seed)
    values: list[tuple[float, float]] = []

    def ask(number: int) -> Point:
        if values:
            sampler.tell(number - 1, TrialState.COMPLETE, values.pop())
        point, _ = sampler.draw(number)
        values.append(figures(point, config.space, noise))
        return point

    return ask


def by_chance(config: SearchConfig) -> Callable[[int], Point]:
    """Points of a random search."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=config.seed))
    return lambda number: sample(study.ask(), config.space, config.variants)


def searched(config: SearchConfig, ask: Callable[[int], Point], marks: Sequence[int]) -> list[tuple[float, float]]:
    """Hypervolume after so many trials, and milliseconds per point since the mark before."""
    noise, found, rows, spent = random.Random(config.seed), list[Candidate](), list[tuple[float, float]](), 0.0
    for number in range(marks[-1]):
        began = time.perf_counter()
        point = ask(number)
        spent += time.perf_counter() - began
        psnr_db, flops = figures(point, config.space, noise)
        found.append(Candidate(number=number, psnr_db=psnr_db, costs=(flops,)))
        if number + 1 in marks:
            share = number + 1 - (marks[len(rows) - 1] if rows else 0)
            rows.append((hypervolume(pareto_set(found), FLOOR_DB), 1000 * spent / share))
            spent = 0.0
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.sampler_memory --trials 500 1000 2000",
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config, marks = replace(load(Path("params.yaml")).search, suggestions=()), sorted(args.trials)
    kinds: dict[str, Callable[[SearchConfig], Callable[[int], Point]]] = {
        "random": by_chance,
        "TPE, all trials": lambda config: by_tpe(config, marks[-1]),
        f"TPE, the last {MEMORY} to {2 * MEMORY} and the front": lambda config: by_tpe(config, MEMORY),
    }
    print(
        f"| {len(args.seeds)} seeds, hypervolume; ms per point | " + " | ".join(f"{m:,} trials" for m in marks) + " |"
    )
    print("|:--|" + ":--|" * len(marks))
    for kind, begin in kinds.items():
        runs = []
        for seed in args.seeds:
            seeded = replace(config, seed=seed)
            runs.append(searched(seeded, begin(seeded), marks))
            print(kind, seed, runs[-1], file=sys.stderr, flush=True)
        cells = []
        for rows in zip(*runs, strict=True):
            volumes, times = zip(*rows, strict=True)
            mean = statistics.mean(volumes)
            cells.append(f"{mean:.3f} ({min(volumes):.3f} to {max(volumes):.3f}); {statistics.mean(times):.0f} ms")
        print("| " + " | ".join([kind, *cells]) + " |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
