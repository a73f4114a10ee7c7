"""How good the search is: the sampler against random search and a hand-made grid, and early stopping on real curves.

`record` trains whole searches, two trials at a time, each scored at every rung, and keeps them in a folder: TPE as the
pipeline runs it, random points, a grid of lambda1 and lambda2 in the manner of the paper's Table 4, and TPE that begins
with the best four points of another seed's random search. `report` draws the hypervolume over the trials, and replays
the stopping rule on the recorded curves.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from pipeline.config import Params, Suggestion, load
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.mo_asha import goes_on
from pipeline.search.study.pareto import Candidate, hypervolume, pareto_set
from pipeline.search.study.space import Point, sample
from pipeline.search.study.warm_start import best_points
from pipeline.search.trial.job import make_job
from pipeline.search.trial.rungs import RUNGS
from pipeline.search.trial.trial import Job, Trial
from tatsnet.method.training import Diverged
from tatsnet.system.allocator import keep_freed_memory

SAMPLERS = ("tpe", "random", "grid", "warm")
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")
POINTS = 4
"""Taken from another search by a warm start."""

RULES = ((1,), (2,), (3,), (1, 3), (2, 4))
KEPT = (0.25, 0.34, 0.4, 0.5)
DRAWS = 100
Curve = dict[str, Any]
"""A recorded trial: point, state, `scores` by rung (PSNR in dB, FLOPs at M = 27 share of dense), the end's last."""

_job: list[Job] = []


def _begin(root: Path, params: Params) -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    _job.append(make_job(root, params))


def train(point: Point, seed: int) -> Curve:
    """One trial, scored at every rung."""
    job = _job[0]
    trial, scores = Trial(job, point, seed), []
    try:
        for rung in range(1, RUNGS):
            until = round(rung * job.schedule.iterations / RUNGS)
            while trial.iteration < until and trial.advance() is not None:
                pass
            scores.append(_values(trial.score()))
        for _ in iter(trial.advance, None):
            pass
    except Diverged as error:
        return {"point": point.to_json(), "state": "failed", "reason": str(error), "scores": scores}
    record = trial.measure()
    return {"point": point.to_json(), "state": "finished", "reason": None, "scores": [*scores, _values(record)]}


def _values(figures: dict[str, Any]) -> list[float]:
    return [figures["psnr_db"], figures["flops_ratio_m27"]]


def points(sampler: str, params: Params, seed: int, trials: int) -> list[Point]:
    """What random search and the grid try."""
    space = params.search.space
    if sampler == "grid":
        return list(itertools.islice(grid(params), trials))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [sample(study.ask(), space, params.search.variants) for _ in range(trials)]


def grid(params: Params) -> Iterator[Point]:
    """lambda1 and lambda2 at the ends and the middle of their ranges, TSNet along lambda1; gamma is the paper's 0.9."""
    space = params.search.space

    def steps(low: float, high: float, count: int) -> list[float]:
        return [low * (high / low) ** (k / (count - 1)) for k in range(count)]

    for lambda1 in steps(space.lambda1.low, space.lambda1.high, 3):
        yield Point(variant="TSNet", lambda1=lambda1, lambda2=0.0, gamma=0.9)
        for lambda2 in steps(space.lambda2.low, space.lambda2.high, 3):
            yield Point(variant="TA+TSNet", lambda1=lambda1, lambda2=lambda2, gamma=0.9)


def earlier(path: Path, params: Params) -> tuple[Suggestion, ...]:
    """The best points of a recorded search."""
    curves = json.loads(path.read_text(encoding="utf-8"))
    trials = [
        {
            "state": curve["state"],
            "metrics": dict(zip(("psnr_db", "flops_ratio_m27"), curve["scores"][-1], strict=True)),
        }
        | curve["point"]
        for curve in curves
    ]
    return tuple(best_points({"trials": trials}, params.search, POINTS))


def record(root: Path, params: Params, sampler: str, seed: int, trials: int, out: Path) -> list[Curve]:
    """A whole search, without stopping; the curves in the order in which the trials were begun."""
    suggested: tuple[Suggestion, ...] = ()
    if sampler == "warm":
        suggested = earlier(out / f"random-{(seed + 1) % 3}.json", params)
    if sampler == "grid" or sampler == "random":
        suggested = tuple(
            Suggestion(**point.to_json() | {"lambda2": point.lambda2 or params.search.space.lambda2.low})
            for point in points(sampler, params, seed, trials)
        )
    config = replace(params.search, suggestions=suggested, seed=seed)
    ledger = Ledger(optuna.storages.InMemoryStorage(), "study", config)
    curves: dict[int, Curve] = {}
    running: dict[Future[Curve], int] = {}
    with ProcessPoolExecutor(2, get_context("spawn"), _begin, (root, params)) as pool:
        while len(curves) < trials:
            while len(running) < 2 and len(curves) + len(running) < trials:
                number, point = ledger.ask()
                running[pool.submit(train, point, seed)] = number
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(done)
                curves[number] = curve = done.result()
                psnr_db, flops = curve["scores"][-1]
                if curve["state"] == "finished":
                    ledger.finish(number, {"psnr_db": psnr_db, "flops_ratio_m27": flops})
                else:
                    ledger.fail(number, str(curve["reason"]), infeasible=True)
                print(f"{sampler} {seed}: {number} {curve['state']} {psnr_db:.2f} dB {flops:.1%}", file=sys.stderr)
    return [curves[number] for number in sorted(curves)]


def volume(curves: Sequence[Curve], floor_db: float) -> float:
    """Hypervolume of finished trials."""
    finished = [curve["scores"][-1] for curve in curves if curve["state"] == "finished"]
    candidates = [Candidate(number=n, psnr_db=psnr, costs=(flops,)) for n, (psnr, flops) in enumerate(finished)]
    return hypervolume(pareto_set(candidates), floor_db) if candidates else 0.0


def replay(curves: Sequence[Curve], rungs: Sequence[int], keep: float) -> tuple[list[Curve], float]:
    """What asynchronous stopping would have left of a search, two trials at a time, and the share of iterations."""
    waiting, running, left = list(enumerate(curves)), dict[int, int](), []
    scores: dict[int, dict[int, list[float]]] = {rung: {} for rung in rungs}
    used = 0
    while waiting or running:
        while waiting and len(running) < 2:
            running[waiting.pop(0)[0]] = 0
        for number in list(running):
            curve, rung = curves[number], running[number] + 1
            running[number] = rung
            used += 1
            if rung in scores and rung < len(curve["scores"]):
                psnr_db, flops = curve["scores"][rung - 1]
                scores[rung][number] = [-psnr_db, flops]
                rows = scores[rung]
                if not goes_on(list(rows.values()), list(rows).index(number), keep):
                    del running[number]
                    continue
            if rung >= len(curve["scores"]):
                left.append(curve)
                del running[number]
                if curve["state"] == "failed":  # as in a search, such are no rivals from then on
                    for rows in scores.values():
                        rows.pop(number, None)
    return left, used / sum(len(curve["scores"]) for curve in curves)


def stopping_table(searches: dict[tuple[str, int], list[Curve]], floor_db: float) -> str:
    """Share of the hypervolume kept and of the iterations used, by rungs and share that goes on, search by search."""
    lines = ["| sampler | rungs | keep | hypervolume kept, each seed | iterations used, each seed |"]
    lines.append("|:--|:--|--:|:--|:--|")
    for sampler in SAMPLERS:
        chosen = [curves for (name, _), curves in sorted(searches.items()) if name == sampler]
        for rungs, keep in itertools.product(RULES, KEPT):
            if not chosen:
                continue
            kept, used = zip(*(replayed(curves, rungs, keep, floor_db) for curves in chosen), strict=True)
            cells = [sampler, str([rung / RUNGS for rung in rungs]), f"{keep:g}"]
            cells += [" ".join(f"{value:.1%}" for value in values) for values in (kept, used)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shuffled_table(searches: dict[tuple[str, int], list[Curve]], floor_db: float) -> str:
    """The same over searches of so many trials, drawn from all random trials in an order drawn with them."""
    pool = [curve for (name, _), curves in sorted(searches.items()) if name == "random" for curve in curves]
    lines = [f"| trials (of {len(pool)}) | rungs | keep | hypervolume kept, mean | lowest | iterations used, mean |"]
    lines.append("|--:|:--|--:|--:|--:|--:|")
    sizes = [trials for trials in (8, 12, 24, 36) if trials <= len(pool)]
    for trials, rungs, keep in itertools.product(sizes, RULES, KEPT):
        draws = [random.Random(seed).sample(pool, trials) for seed in range(DRAWS)]
        kept, used = zip(*(replayed(curves, rungs, keep, floor_db) for curves in draws), strict=True)
        cells = [str(trials), str([rung / RUNGS for rung in rungs]), f"{keep:g}", f"{statistics.mean(kept):.1%}"]
        lines.append("| " + " | ".join([*cells, f"{min(kept):.1%}", f"{statistics.mean(used):.1%}"]) + " |")
    return "\n".join(lines)


def foresight_table(searches: dict[tuple[str, int], list[Curve]], floor_db: float) -> str:
    """Spearman's rank correlation of PSNR and FLOPs at every rung with those at the end, over all finished trials."""
    pool = [curve for curves in searches.values() for curve in curves if curve["state"] == "finished"]
    ranks = np.array([curve["scores"] for curve in pool]).argsort(0).argsort(0)  # trials x rungs x 2
    lines = [f"| of {len(pool)} trials, at | PSNR | FLOPs |", "|:--|--:|--:|"]
    for rung in range(1, RUNGS):
        with_end = [np.corrcoef(ranks[:, rung - 1, column], ranks[:, -1, column])[0, 1] for column in (0, 1)]
        lines.append(f"| {rung / RUNGS:g} | " + " | ".join(f"{value:.2f}" for value in with_end) + " |")
    return "\n".join(lines)


def replayed(curves: Sequence[Curve], rungs: Sequence[int], keep: float, floor_db: float) -> tuple[float, float]:
    """Shares of a search's hypervolume and iterations that are left with the rule."""
    left, used = replay(curves, rungs, keep)
    return volume(left, floor_db) / volume(curves, floor_db), used


def over_trials_table(searches: dict[tuple[str, int], list[Curve]], floor_db: float) -> str:
    """Mean hypervolume after so many trials."""
    trials = max(len(curves) for curves in searches.values())
    marks = sorted({math.ceil(trials * share) for share in (0.25, 0.5, 0.75, 1.0)})
    lines = ["| sampler | " + " | ".join(f"{mark} trials" for mark in marks) + " |", "|:--|" + "--:|" * len(marks)]
    for sampler in SAMPLERS:
        chosen = [curves for (name, _), curves in searches.items() if name == sampler]
        if chosen:
            means = [statistics.mean(volume(curves[:mark], floor_db) for curves in chosen) for mark in marks]
            lines.append("| " + " | ".join([f"{sampler} ({len(chosen)})", *(f"{mean:.3f}" for mean in means)]) + " |")
    return "\n".join(lines)


def draw(searches: dict[tuple[str, int], list[Curve]], floor_db: float, path: Path) -> None:
    """Hypervolume over trials: the mean of each sampler's searches, and from the lowest to the highest of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for sampler, colour in zip(SAMPLERS, COLOURS, strict=True):
        chosen = [curves for (name, _), curves in searches.items() if name == sampler]
        if not chosen:
            continue
        counts = range(1, min(map(len, chosen)) + 1)
        volumes = [[volume(curves[:count], floor_db) for count in counts] for curves in chosen]
        columns = list(zip(*volumes, strict=True))
        label = f"{sampler}, {len(chosen)} seeds" if len(chosen) > 1 else sampler
        axes.step(counts, [statistics.mean(column) for column in columns], where="post", color=colour, label=label)
        low, high = ([end(column) for column in columns] for end in (min, max))
        axes.fill_between(counts, low, high, step="post", color=colour, alpha=0.15)
    axes.set(xlabel="trials", ylabel="hypervolume, dB x share of dense saved")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def main(argv: Sequence[str] | None = None) -> int:
    """Record what is missing, or report on what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.searchers record --out /tmp/curves --seeds 0 1 2 --trials 12\n"
        "         python -m benchmarks.searchers report --out /tmp/curves",
    )
    parser.add_argument("what", choices=("record", "report"))
    parser.add_argument("--root", type=Path, default=Path(), help="project folder with data/ and models/supernet")
    parser.add_argument("--out", type=Path, required=True, help="folder of the recorded searches")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=12)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "record":
        params = load(args.root / "params.yaml")
        for sampler, seed in itertools.product(args.samplers, args.seeds):
            path = args.out / f"{sampler}-{seed}.json"
            if not path.exists():
                curves = record(args.root, params, sampler, seed, args.trials, args.out)
                path.write_text(json.dumps(curves, indent=1))
        return 0
    searches = {}
    for path in sorted(args.out.glob("*-*.json")):
        sampler, seed = path.stem.split("-")
        searches[sampler, int(seed)] = json.loads(path.read_text())
    figures = json.loads((args.root / "models/supernet/figures.json").read_text())
    floor_db = figures["input_psnr_db"]
    draw(searches, floor_db, args.out / "hypervolume.png")
    tables = (over_trials_table, stopping_table, shuffled_table, foresight_table)
    print(*(table(searches, floor_db) for table in tables), sep="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
