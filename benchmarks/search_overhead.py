"""What a search costs beside training: trials that do nothing, here and in plain Tune with Optuna, in one run.

All run the same trainable on the same local Ray with as many processes, which are used again. `ours` has what a search
has: the study in SQLite, the ledger's searcher, and with --mlflow a run per trial. `plain` is Ray Tune with its
OptunaSearch on the same kind of study; `plain, bare` is the same without Tune's log files and records, as in `ours`.
--reports says how often a trial tells how far it is: a real one ten times. --sampling says what opening a study of so
many finished trials in memory takes, and the sampler alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import psutil
import ray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from pipeline.cluster.ray_cluster import connect
from pipeline.cluster.store import Store
from pipeline.config import Limits, Params, load
from pipeline.search.driver.budget import Rates, Spending
from pipeline.search.driver.reporter import Reporter
from pipeline.search.driver.runner import LedgerSearcher, tuner_of
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.trial.trainable import RUNGS
from pipeline.tracking import NullRun, NullTracker, open_tracker, stage_run
from pipeline.tracking.keys import TRIAL_STAGE

Trivial = type["Nothing"]

BARE = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_GLOBAL_CHECKPOINT_S": "86400"}
"""As `connect` sets them: Tune keeps no records of its own."""

AS_IT_COMES = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "0", "TUNE_GLOBAL_CHECKPOINT_S": "auto"}
"""Tune's defaults."""


class Nothing(tune.Trainable):
    """Figures out of the point, at once, in so many reports."""

    reports = RUNGS

    def setup(self, config: dict[str, Any]) -> None:
        self._rung = 0
        self._point = config.get("point", config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        self._rung += 1
        figures = {"psnr_db": 30 - self._point["lambda1"], "flops_ratio_m27": self._point["lambda1"] ** 0.5}
        if self._rung < self.reports:
            return {"rung": self._rung, "reached": self._rung, "phase": "joint", "loss": 0.0, **figures}
        return {"done": True, "record": json.dumps(figures), **figures}


def reporting(times: int) -> Trivial:
    """A trainable of so many reports."""

    class Reporting(Nothing):
        reports = times

    return Reporting


def ours(params: Params, trials: int, place: Path, trainable: Trivial, mlflow: bool) -> list[float]:
    """Seconds at which trials ended."""
    ends: list[float] = []
    began = time.perf_counter()
    tracker = open_tracker("overhead", place) if mlflow else NullTracker()
    config = replace(params.search, trials=trials)
    ledger = Ledger(sqlite(place / "study.db"), "study", config)

    class Watched(Reporter):
        def ended(self, *told: Any) -> None:
            super().ended(*told)
            ends.append(time.perf_counter() - began)

    def search(run: Any) -> None:
        spending = Spending(Rates.of(params.cost), Limits(hours=None, usd=None), 0.0)
        observer = Watched(tracker, run, config, "study", ledger, spending)
        searcher = LedgerSearcher(config, ledger, Store(str(place / "store"), "study"), spending, observer)
        tuner_of(trainable, searcher, config.resources, place).fit()

    if mlflow:
        with stage_run(tracker, "search", {}, root=place, upstream=(), dataset_sha256=None) as run:
            search(run)
    else:
        search(NullRun())
    assert ledger.finished == trials
    return ends


def plain(params: Params, trials: int, place: Path, trainable: Trivial) -> list[float]:
    """The same of Ray Tune with OptunaSearch."""
    ends: list[float] = []
    began = time.perf_counter()
    space: dict[str, BaseDistribution] = {"variant": CategoricalDistribution(params.search.variants)}
    for name in ("lambda1", "lambda2", "gamma"):
        bounds = getattr(params.search.space, name)
        space[name] = FloatDistribution(bounds.low, bounds.high, log=True)

    class Ends(tune.Callback):
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter() - began)

    place.mkdir(exist_ok=True)
    search = OptunaSearch(
        space,
        metric=["psnr_db", "flops_ratio_m27"],
        mode=["max", "min"],
        sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, group=True, constant_liar=True),
        storage=optuna.storages.RDBStorage(f"sqlite:///{place / 'plain.db'}"),
    )
    resources = params.search.resources
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": resources.cpus_per_trial}),
        tune_config=tune.TuneConfig(
            search_alg=tune.search.ConcurrencyLimiter(search, max_concurrent=resources.concurrent),
            num_samples=trials,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="plain",
            storage_path=str(place),
            verbose=0,
            log_to_file=False,
            callbacks=[Ends()],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    return ends


def measured(work: Callable[[Path], list[float]]) -> dict[str, Any]:
    """Milliseconds per trial in all, in the second and in the last fifth; what the driver holds; what is stored."""
    with tempfile.TemporaryDirectory() as folder:
        ends = work(Path(folder))
        fifth = max(1, len(ends) // 5)
        return {
            "trials": len(ends),
            "ms_per_trial": 1000 * ends[-1] / len(ends),
            "ms_second_fifth": 1000 * (ends[2 * fifth - 1] - ends[fifth - 1]) / fifth,
            "ms_last_fifth": 1000 * (ends[-1] - ends[-fifth - 1]) / fifth,
            "driver_mib": psutil.Process().memory_info().rss / 2**20,
            **stored(Path(folder)),
        }


def stored(place: Path) -> dict[str, float]:
    """Sizes of the study and of MLflow's database, and the seconds in which what a user asks of them comes."""
    found: dict[str, float] = {}
    for name in ("study.db", "plain.db"):
        if (path := place / name).exists():
            began = time.perf_counter()
            (summary,) = optuna.get_all_study_summaries(storage := optuna.storages.RDBStorage(f"sqlite:///{path}"))
            front = optuna.load_study(study_name=summary.study_name, storage=storage).best_trials
            found |= {"study_mib": path.stat().st_size / 2**20, "pareto_s": time.perf_counter() - began}
            assert front
    if (path := place / "mlflow.db").exists():
        tracker = open_tracker("overhead", place)
        began = time.perf_counter()
        runs = tracker.find({"stage": TRIAL_STAGE})
        found |= {"mlflow_mib": path.stat().st_size / 2**20, "runs_s": time.perf_counter() - began, "runs": len(runs)}
    return found


def sampling(params: Params, trials: int, asks: int = 20) -> tuple[float, float]:
    """Seconds to open a study of so many finished trials, in memory, and milliseconds of a point in it."""
    config = replace(params.search, suggestions=(), trials=trials)
    Ledger(storage := optuna.storages.InMemoryStorage(), "study", config)
    study = optuna.load_study(study_name="study", storage=storage)
    drawn, space = random.Random(0), params.search.space
    distributions: dict[str, BaseDistribution] = {"variant": CategoricalDistribution(config.variants)}
    for name in ("lambda1", "lambda2", "gamma"):
        distributions[name] = FloatDistribution(getattr(space, name).low, getattr(space, name).high, log=True)
    for _ in range(trials):
        point: dict[str, Any] = {"variant": drawn.choice(config.variants)}
        point |= {n: drawn.uniform(d.low, d.high) for n, d in distributions.items() if isinstance(d, FloatDistribution)}
        values = [30 - point["lambda1"] + drawn.random(), point["lambda1"] ** 0.5]
        study.add_trial(optuna.create_trial(params=point, distributions=distributions, values=values))
    began = time.perf_counter()
    ledger = Ledger(storage, "study", config)
    opened = time.perf_counter()
    for _ in range(asks):
        ledger.ask()
    return opened - began, 1000 * (time.perf_counter() - opened) / asks


def main(argv: Sequence[str] | None = None) -> int:
    """Run both, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.search_overhead --trials 300 2000 --json /tmp/overhead.json",
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[300])
    parser.add_argument("--reports", type=int, nargs="+", default=[1, RUNGS], help="of a trial")
    parser.add_argument("--mlflow", action="store_true", help="and ours once more with a run per trial")
    parser.add_argument("--sampling", type=int, nargs="+", default=[], metavar="N", help="the sampler alone")
    parser.add_argument("--json", type=Path, help="file of the figures")
    args = parser.parse_args(argv)
    params = load(Path("params.yaml"))
    if args.sampling:
        for trials in args.sampling:
            open_s, ask_ms = sampling(params, trials)
            print(f"{trials} finished trials: opened in {open_s:.1f} s, {ask_ms:.0f} ms for a point", flush=True)
        return 0
    end = connect(params.search.resources)
    rows: list[dict[str, Any]] = []
    try:
        for trials, reports in itertools.product(args.trials, args.reports):
            trainable = reporting(reports)
            kinds = {
                "plain": partial(plain, params, trials),
                "plain, bare": partial(plain, params, trials),
                "ours": partial(ours, params, trials, mlflow=False),
            }
            if args.mlflow and reports == max(args.reports):
                kinds["ours, MLflow"] = partial(ours, params, trials, mlflow=True)
            for kind, work in kinds.items():
                os.environ |= AS_IT_COMES if kind == "plain" else BARE
                rows.append({"kind": kind, "reports": reports} | measured(partial(work, trainable=trainable)))
                print(rows[-1], file=sys.stderr, flush=True)
    finally:
        end()
        ray.shutdown()
    base = {(row["trials"], row["reports"]): row["ms_per_trial"] for row in rows if row["kind"] == "plain"}
    print("| search | trials | reports | ms per trial | to plain | second fifth | last fifth | driver, MiB |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        cells = [row["kind"], str(row["trials"]), str(row["reports"]), f"{row['ms_per_trial']:.0f}"]
        cells.append(f"{row['ms_per_trial'] / base[row['trials'], row['reports']]:.2f}")
        cells += [f"{row[name]:.0f}" for name in ("ms_second_fifth", "ms_last_fifth", "driver_mib")]
        print("| " + " | ".join(cells) + " |")
    print("\n| search | trials | reports | study, MiB | Pareto set, s | MLflow, MiB | all runs, s |")
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        cells = [row["kind"], str(row["trials"]), str(row["reports"])]
        names = ("study_mib", "pareto_s", "mlflow_mib", "runs_s")
        cells += [f"{row[name]:.2f}" if name in row else "" for name in names]
        print("| " + " | ".join(cells) + " |")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
