"""What a trial's time goes to, and the share of it that is not training, at a profile's trial length.

One trial of the profile's network and batch runs for a few steps on this machine, with everything around them: taking
up the job, checkpoints into the store, a score at a rung, the measurement at the end, the network into the store. The
shares are then reckoned for the profile's iterations: with the steps as measured here, and for a profile of a GPU also
with steps and evaluations at its `cost.gpu_tflops`, where all else takes what it took here.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from pipeline.cluster.store import Store
from pipeline.commands.plan import make_plan
from pipeline.config import Params, load
from pipeline.search.study.space import Point
from pipeline.search.trial.trainable import RUNGS
from pipeline.search.trial.trial import Job, Trial
from pipeline.stages.runner import Context
from pipeline.stages.search import make_job
from pipeline.tracking import NullRun, NullTracker
from tatsnet.network.supernet import SuperNetwork
from tatsnet.system.allocator import keep_freed_memory

T = TypeVar("T")
POINT = Point(variant="TA+TSNet", lambda1=1e-3, lambda2=1e-2, gamma=0.9)


@dataclass(frozen=True)
class Part:
    """Something that a trial does `times`; `evaluates`: its time is arithmetic, and a GPU's would be another."""

    name: str
    times: int
    seconds: float
    evaluates: bool = False

    @property
    def total(self) -> float:
        """Seconds of a whole trial."""
        return self.times * self.seconds


def job_of(root: Path, params: Params, steps: int) -> Job:
    """The trials' job of a prepared project, with a profile's network and batch; its weights are random."""
    own = load(root / "params.yaml")
    job = make_job(Context(root=root, params=own, tracker=NullTracker(), run=NullRun()))
    warm = SuperNetwork(params.network).state_dict()
    train = replace(params.train, device="cpu", workers=0)
    schedule = replace(params.search.schedule, iterations=steps)
    return replace(job, network=params.network, train=train, schedule=schedule, method=params.search.method, warm=warm)


def parts_of(job: Job, params: Params, driver_s: float, place: Path) -> tuple[list[Part], float]:
    """What stands around the training, and the seconds of one step."""
    store = Store(str(place / "store"), "study")
    begin_s, trial = timed(lambda: Trial(job, POINT, 0))
    train_s, _ = timed(lambda: [None for _ in iter(trial.advance, None)])
    score_s, _ = timed(trial.score)
    keep_s, _ = timed(lambda: store.keep("key", trial.iteration, trial.checkpoint()))
    measure_s, record = timed(trial.measure)
    (place / "network").mkdir()

    def hand_over() -> None:
        trial.save(place / "network")
        store.put("key", place / "network", {"record": json.dumps(record)})

    put_s, _ = timed(hand_over)
    scored = len(params.search.stopping.rungs)
    parts = [
        Part("taking up the job", 1, begin_s),
        Part("checkpoint into the store", RUNGS - 1, keep_s),
        Part("score at a rung", scored, score_s, evaluates=True),
        Part("measurement at the end", 1, measure_s, evaluates=True),
        Part("network into the store", 1, put_s),
        Part("driver: sampling, scheduling, ledger, tracking", 1, driver_s),
    ]
    return parts, train_s / job.schedule.iterations


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def reckoned(params: Params, path: Path) -> tuple[float, float]:
    """Seconds of a trial's training, and of its evaluation, at the profile's rate."""
    (search,) = [stage for stage in make_plan(params, path).stages if stage.stage == "search"]
    rate = params.cost.gpu_tflops * 1e12 * search.runs
    return search.training_flops / rate, search.evaluation_flops / rate


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, reckon, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.trial_parts --params profiles/paper.yaml --steps 4",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="project folder with data/ and models/supernet")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="profile (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="of training (default: %(default)s)")
    parser.add_argument(
        "--driver-ms", type=float, required=True, help="per trial, with MLflow: python -m benchmarks.search_overhead"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the training (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file of the figures")
    args = parser.parse_args(argv)
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    params = load(args.params)
    with tempfile.TemporaryDirectory() as place:
        parts, step_s = parts_of(job_of(args.root, params, args.steps), params, args.driver_ms / 1000, Path(place))
    training_s = params.search.schedule.iterations * step_s
    print(f"{params.search.schedule.iterations:,} steps of {step_s:.3f} s: {training_s:,.0f} s of training here\n")
    print("| part | times | seconds each | share of the trial here |\n|:--|--:|--:|--:|")
    whole = training_s + sum(part.total for part in parts)
    for part in parts:
        print(f"| {part.name} | {part.times} | {part.seconds:.3f} | {part.total / whole:.3%} |")
    print(f"| all that is not training | | | {1 - training_s / whole:.2%} |")
    share = None
    if params.train.device == "cuda":
        gpu_training_s, gpu_evaluation_s = reckoned(params, args.params)
        fixed = sum(part.total for part in parts if not part.evaluates)
        evaluations = gpu_evaluation_s * sum(part.times for part in parts if part.evaluates)
        rest = fixed + evaluations
        share = rest / (gpu_training_s + rest)
        print(
            f"\nAt {params.cost.gpu_tflops:g} TFLOPS: {gpu_training_s:,.0f} s of training, {evaluations:,.1f} s of "
            f"evaluation, {fixed:.1f} s of the rest: {share:.2%} is not training"
        )
    if args.json:
        figures = {"step_s": step_s, "here": 1 - training_s / whole, "reckoned": share}
        args.json.write_text(json.dumps(figures | {part.name: part.seconds for part in parts}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
