"""Times subjects against each other: same runtime, threads, image and round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tatsnet.runtimes.choose import pick
from tatsnet.timing.cells import DENSE, Cell
from tatsnet.timing.measure import Timing, Work, measure, threads
from tatsnet.timing.subjects import Effects, Subject

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a cell is measured.

    Attributes:
        device: `cpu` or `cuda`.
        threads: on a CPU, at least 1; 0 on an accelerator.
        runtime: its name, or `auto` for the fastest that is installed.
        precision: `float32`, `bfloat16` or `float16`, of every network.
    """

    device: str
    threads: int
    runtime: str
    precision: str = "float32"


def bench(
    subjects: Sequence[Subject],
    sizes: Sequence[tuple[int, int]],
    places: Sequence[Place],
    rounds: int,
    report: Report = lambda text: None,
) -> Iterator[Cell]:
    """Measure every subject at every size and place, the dense network first; cells as they are done.

    Args:
        sizes: (width, height) in pixels.
        rounds: counted rounds, at least 1.

    Raises:
        ValueError: a runtime that is not installed, or no dense network among the subjects.
    """
    if DENSE not in {subject.name for subject in subjects}:
        raise ValueError("there is nothing to compare with: a dense network must be among the subjects")
    for place in places:
        precision = None if place.precision == "float32" else getattr(torch, place.precision)
        count = place.threads if place.device == "cpu" else torch.get_num_threads()
        runtime = pick(place.runtime, place.device, count, precision=precision)
        with threads(count):
            built = {subject.name: subject.build(runtime) for subject in subjects}
            for width, height in sizes:
                on = f"{place.device}, {count} threads" if place.device == "cpu" else place.device
                where = f"{width}x{height}, {on}, {runtime.name}"
                image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(place.device)
                works = {s.name: _work(s, built[s.name], image, place.device) for s in subjects}
                timings = measure(works, rounds, _prefixed(report, where))
                yield from _cells(subjects, timings, (width, height), place, runtime.name, rounds)


def _prefixed(report: Report, where: str) -> Report:
    return lambda name: report(f"{where}: {name}")


def _work(subject: Subject, effects: Effects, image: Tensor, device: str) -> Work:
    def work() -> int:
        with torch.inference_mode():
            for effect in effects(image, subject.tasks):
                del effect
        if device == "cuda":
            torch.cuda.synchronize()
        return len(subject.tasks)

    return work


def _cells(
    subjects: Sequence[Subject],
    timings: Mapping[str, Timing],
    size: tuple[int, int],
    place: Place,
    runtime: str,
    rounds: int,
) -> Iterator[Cell]:
    width, height = size
    whole = next(subject.flops(height, width) for subject in subjects if subject.name == DENSE)
    for subject in subjects:
        flops, timing = subject.flops(height, width), timings[subject.name]
        speedup = timings[DENSE].ms_per_effect / timing.ms_per_effect
        yield Cell(
            network=subject.name,
            size=f"{width}x{height}",
            device=place.device,
            threads=place.threads,
            runtime=runtime,
            precision=place.precision,
            effects=len(subject.tasks),
            ms_per_effect=timing.ms_per_effect,
            spread_pct=timing.spread_pct,
            rounds=rounds,
            gflops_per_effect=flops / 1e9,
            gbytes_per_effect=subject.moved(height, width) * getattr(torch, place.precision).itemsize / 1e9,
            flops_ratio=flops / whole,
            ratio_to_dense=speedup,
            share_of_cut=speedup * flops / whole,
        )
