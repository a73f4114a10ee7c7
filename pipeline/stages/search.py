"""Stage search: Ray Tune and Optuna over variant, lambda1, lambda2 and gamma."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.common.datasets import load_eval_photos, load_pack
from pipeline.common.files import atomic_write_json, fresh_folder, read_json, sha256_file
from pipeline.common.keys import code_version, key_of, responses_from_json
from pipeline.common.layout import (
    CLEAN,
    EVAL,
    FIGURES,
    STATE,
    SUPERNET,
    TRAIN_PIXELS,
    TRIALS,
    TRIALS_FILE,
    WEIGHTS,
    home,
)
from pipeline.common.progress import duration, say
from pipeline.config import Params
from pipeline.search.driver.budget import Rates, Spending, spent_usd
from pipeline.search.driver.observer import Asked, End
from pipeline.search.driver.ray_auth import close_own_ray, cluster_address
from pipeline.search.study.ledger import Ledger, database, sqlite
from pipeline.search.study.lock import alone_by_database, alone_by_file
from pipeline.search.trial.latency import table_of_study
from pipeline.search.trial.store import Store
from pipeline.search.trial.trial import Job
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import Run, Status
from pipeline.tracking.keys import TRIAL_STAGE
from tatsnet.method.checkpoint import load_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.timing.cells import machine
from tatsnet.timing.latency_model import LatencyTable, dense_ms

RESPONSES = ("range", "evenness")
STATUS: dict[End, Status] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "put down": "KILLED"}
SUMMED = ("iterations", "device_hours", "cpu_seconds", "gpu_seconds", "usd")
RECORDED = ("device", "runtime", "threads", "size")
"""What a run and `search/trials.json` say of a table of latencies."""


def study_key(root: Path, params: Params) -> str:
    """The study that these parameters, photos, weights and code belong to; more trials continue the same one."""
    search = params.search
    again = "run the stages before search again: dvc repro search"
    parts = {
        "variants": search.variants,
        "schedule": search.schedule,
        "method": search.method,
        "space": search.space,
        "suggestions": search.suggestions,
        "objectives": search.objectives,
        "latency": search.latency if "latency" in search.objectives else None,
        "seed": search.seed,
        "network": params.network,
        "train": params.train,
        "photos": read_json(root / CLEAN / "manifest.json", again)["dataset_sha256"],
        "eval": params.eval,
        "warm": sha256_file(root / SUPERNET / WEIGHTS),
        "code": code_version(*(["runtimes"] if "latency" in search.objectives else [])),
    }
    return key_of(parts)


def latency_table(context: Context, state: Path) -> LatencyTable | None:
    """The study's times of layers, recorded in the run; None where latency is no objective."""
    search = context.params.search
    if "latency" not in search.objectives:
        return None
    table = table_of_study(state / "latency.json", search.latency, context.params.network, str(machine()["cpu"]))
    context.run.tags({f"latency.{name}": str(getattr(table, name)) for name in RECORDED})
    context.run.json(table.to_json(), "latency.json")
    return table


def make_job(context: Context, latency: LatencyTable | None = None) -> Job:
    """What all trials share."""
    params = context.params
    figures = read_json(context.root / SUPERNET / FIGURES, "run the stage again: dvc repro --force pretrain")
    return Job(
        network=params.network,
        train=params.train,
        schedule=params.search.schedule,
        method=params.search.method,
        pack=load_pack(context.root / TRAIN_PIXELS),
        valid=tuple(load_eval_photos(context.root / EVAL / "valid")),
        warm=load_dense(context.root / SUPERNET / WEIGHTS).state_dict(),
        dense_response=responses_from_json(figures["response"]),
        gpus=params.search.resources.gpus_per_trial,
        cpus=params.search.resources.cpus_per_trial,
        latency=latency,
    )


class Reporter:
    """Tells the terminal and the tracker how the trials go."""

    def __init__(self, context: Context, ledger: Ledger, study: str) -> None:
        self._context, self._ledger, self._study = context, ledger, study
        self._runs: dict[int, Run] = {}
        self._waiting: set[int] = set()
        self._began, self._done_before = time.monotonic(), ledger.done
        self._wanted = context.params.search.trials
        self._total = context.params.search.schedule.iterations

    def started(self, asked: Asked) -> None:
        point = asked.point
        begins = f"goes on from iteration {asked.reached}" if asked.reached else "starts"
        say(
            f"search  trial {asked.number} {begins}: {point.variant}  lambda1 {point.lambda1:.2g}  "
            f"lambda2 {point.lambda2:.2g}  gamma {point.gamma:.2f}"
        )
        self._runs[asked.number] = self._run_of(asked)

    def _run_of(self, asked: Asked) -> Run:
        point = asked.point
        run = self._context.tracker.start(
            f"trial-{asked.number:02d}",
            stage=TRIAL_STAGE,
            tags={"variant": point.variant, "number": str(asked.number)},
            parent=self._context.run.id,
            key=f"{self._study}.{asked.key}",
        )
        run.params(point.to_json())
        return run

    def reached(self, asked: Asked, result: dict[str, Any]) -> None:
        if "away" in result:
            if asked.number not in self._waiting:
                say(f"search  trial {asked.number} waits: {result['away']}")
            self._waiting.add(asked.number)
        elif "reached" in result:
            self._waiting.discard(asked.number)
            say(
                f"search  trial {asked.number}  {result['reached']}/{self._total} {result['phase']}  "
                f"loss {result['loss']:.4f}  {self._left(self._ledger.done)}"
            )

    def ended(self, asked: Asked, record: dict[str, Any], end: End, reason: str | None) -> None:
        run = self._runs.pop(asked.number, None) or self._run_of(asked)
        numbers = {name: float(value) for name, value in record.items() if isinstance(value, int | float)}
        answers = record.get("response", {})
        numbers |= {f"response_{axis}_{n}": answers[axis][n] for axis in answers for n in RESPONSES}
        run.metrics(numbers)
        run.tags({"state": end, "reason": reason or ""})
        run.finish(STATUS[end])
        said = end if reason is None else f"{end.upper() if end == 'failed' else end}: {reason}"
        counts = end in ("finished", "stopped")  # the ledger is told after this
        say(f"search  trial {asked.number} {said}  {figures(record)}  {self._left(self._ledger.done + counts)}")

    def _left(self, done: int) -> str:
        made = done - self._done_before
        text = f"[{done}/{self._wanted} trials done"
        if made:
            rest = (time.monotonic() - self._began) / made * (self._wanted - done)
            text += f", about {duration(max(rest, 0))} left"
        return text + "]"


def figures(record: dict[str, Any]) -> str:
    """What is known of a trial, for the terminal."""
    parts = {
        "psnr_db": "{:.2f} dB",
        "flops_ratio_m1": "FLOPs {:.1%} (M = 1)",
        "flops_ratio_m27": "FLOPs {:.1%} (M = 27)",
        "latency_ratio_m27": "time {:.1%} (M = 27)",
        "shared_layers_pct": "{:.0f} % shared",
    }
    return ", ".join(text.format(record[name]) for name, text in parts.items() if name in record)


def collect(
    context: Context, ledger: Ledger, study: str, store: Store, latency: LatencyTable | None = None
) -> list[dict[str, Any]]:
    """Write `search/trials` and `search/trials.json`; the finished trials' rows."""
    rows = ledger.records()
    with fresh_folder(context.root / TRIALS) as folder:
        for row in rows:
            if row["state"] == "finished":
                place = folder / f"{row['number']:04d}"
                place.mkdir()
                store.get(row["metrics"]["key"], place)
                row["folder"] = place.name
    figures = read_json(context.root / SUPERNET / FIGURES)
    search = context.params.search
    atomic_write_json(
        context.root / TRIALS_FILE,
        {
            "schema": 1,
            "study": study,
            "dense": {name: figures[name] for name in ("psnr_db", "input_psnr_db", "response")},
            "iterations": search.schedule.iterations,
            "objectives": search.objectives,
            "latency": latency_facts(latency, context.params.network) if latency else None,
            "under_way": list(ledger.under_way.values()),
            "trials": rows,
        },
    )
    return [row for row in rows if row["state"] == "finished"]


def latency_facts(table: LatencyTable, network: NetworkConfig) -> dict[str, Any]:
    """On what the trials' latencies hold, and the dense network's by the same table."""
    return {name: getattr(table, name) for name in RECORDED} | {"dense_ms": dense_ms(table, network)}


@contextmanager
def open_ledger(context: Context, study: str, state: Path) -> Iterator[Ledger]:
    """The study, held alone: in the database that TATSNET_STUDY names, else in a file of the project.

    Raises:
        UserError: it cannot be opened, or another search holds it.
    """
    url = os.environ.get("TATSNET_STUDY")
    storage = database(url) if url else sqlite(state / "study.db")
    with alone_by_database(storage, study) if url else alone_by_file(state / "study.lock") as still_alone:
        yield Ledger(storage, study, context.params.search, still_alone)


def open_store(study: str, state: Path) -> Store:
    """Where trials leave what they make: under the place that TATSNET_STORE names, else in a folder of the project."""
    place = os.environ.get("TATSNET_STORE")
    if place is None and cluster_address():
        say("search  trials write into this machine's .state: other nodes need TATSNET_STORE=s3://bucket/prefix")
    return Store(place.rstrip("/") if place else str((state / "store").resolve()), study)


def work(context: Context) -> None:
    """Search, then hand over what was found."""
    close_own_ray()
    study = study_key(context.root, context.params)
    state = home(context.root) / STATE / "search" / study
    with open_ledger(context, study, state) as ledger:
        search(context, ledger, study, state)


def search(context: Context, ledger: Ledger, study: str, state: Path) -> None:
    """Go on with a study until it has what it is asked for."""
    from pipeline.search.driver.runner import (
        run_search,  # imports Ray, which reads then whether it is to ask for a token
    )

    store = open_store(study, state)
    if ledger.done:
        stopped = f", {ledger.stopped} stopped" if ledger.stopped else ""
        say(f"search  goes on with a study of {ledger.finished} finished trials{stopped}")
    spending = Spending(
        Rates.of(context.params.cost),
        context.params.search.limits,
        before_usd=spent_usd(ledger.records()),
        under_way_usd={number: cost.get("usd", 0.0) for number, cost in ledger.under_way.items()},
    )
    reporter = Reporter(context, ledger, study)
    latency = latency_table(context, state)
    job = make_job(context, latency)
    run_search(context.params.search, job, ledger, state, store, spending, reporter)
    if limit := spending.reached:
        say(f"search  ends with what it has at {limit}; a higher limit and `dvc repro` go on")
    finished = collect(context, ledger, study, store, latency)
    rows = [*(row["metrics"] for row in ledger.records()), *ledger.under_way.values()]
    context.run.metrics(
        {
            "finished": len(finished),
            "stopped": ledger.stopped,
            "failed": ledger.failed,
            "best_psnr_db": max(row["metrics"]["psnr_db"] for row in finished),
            **{name: sum(row.get(name, 0.0) for row in rows) for name in SUMMED},
        }
    )
    context.run.artifact(context.root / TRIALS_FILE)


STAGE = Stage(
    name="search",
    summary="searches architectures with Ray Tune and Optuna",
    upstream=("degrade", "pretrain"),
    sections=lambda params: {"search": params.search, "network": params.network, "train": params.train},
    work=work,
    key=study_key,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
