"""Stage search: Ray Tune and Optuna over variant, lambda1, lambda2 and gamma."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.cluster.photos import TravellingPack
from pipeline.cluster.ray_auth import close_own_ray, cluster_address
from pipeline.cluster.store import Store, place_of_all
from pipeline.common.datasets import load_eval_photos
from pipeline.common.files import atomic_write_json, fresh_folder, read_json
from pipeline.common.layout import (
    EVAL,
    FIGURES,
    SUPERNET,
    TRAIN,
    TRIALS,
    TRIALS_FILE,
    WEIGHTS,
)
from pipeline.common.progress import StayingLine, count, say
from pipeline.search.driver.budget import Rates, Spending, spent_usd
from pipeline.search.driver.live import LiveSearch
from pipeline.search.driver.reporter import Reporter
from pipeline.search.study.identity import searches, shared_studies, study_key
from pipeline.search.study.kept import Other, others
from pipeline.search.study.ledger import Ledger, sqlite
from pipeline.search.study.lock import alone_by_database, alone_by_file
from pipeline.search.trial.latency import table_of_study
from pipeline.search.trial.trial import Job
from pipeline.stages.runner import Context, Stage, main
from tatsnet.method.checkpoint import load_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.quality.control import Control
from tatsnet.timing.cells import machine
from tatsnet.timing.latency_model import LatencyTable, dense_ms

SUMMED = ("iterations", "device_hours", "cpu_seconds", "gpu_seconds", "usd")
RECORDED = ("device", "runtime", "threads", "size")
"""What a run and `search/trials.json` say of a table of latencies."""


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
        pack=TravellingPack.at(context.root / TRAIN, place_of_all() if cluster_address() else None),
        valid=tuple(load_eval_photos(context.root / EVAL / "valid")),
        warm=load_dense(context.root / SUPERNET / WEIGHTS).state_dict(),
        dense=Control.from_json(figures["control"]),
        gpus=params.search.resources.gpus_per_trial,
        cpus=params.search.resources.cpus_per_trial,
        latency=latency,
    )


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
            "dense": {name: figures[name] for name in ("psnr_db", "input_psnr_db", "control")},
            "iterations": search.schedule.iterations,
            "objectives": search.objectives,
            "control": asdict(search.control),
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
    shared = shared_studies()
    storage = shared or sqlite(state / "study.db")
    with alone_by_database(storage, study) if shared else alone_by_file(state / "study.lock") as still_alone:
        yield Ledger(storage, study, context.params.search, still_alone)


def open_store(study: str, state: Path) -> Store:
    """Where trials leave what they make: under the place that TATSNET_STORE names, else in a folder of the project."""
    place = place_of_all()
    if place is None and cluster_address():
        say("search  trials write into this machine's .state: other nodes need TATSNET_STORE=s3://bucket/prefix")
    return Store(place or str((state / "store").resolve()), study)


def work(context: Context) -> None:
    """Search, then hand over what was found."""
    close_own_ray()
    key, place = study_key(context.root, context.params), searches(context.root)
    study = key.name(place)
    state = place / study
    shared = shared_studies()
    with open_ledger(context, study, state) as ledger:
        if not ledger.done:
            tell_others(others(key, place, shared))
        key.mark(shared or sqlite(state / "study.db"), study)
        if study != key.own:
            context.run.tags({"study.kept": study, "study.code_now": key.code})
            say(f"search  goes on with study {study[:8]}, which began with other code (keep-study)")
        search(context, ledger, study, state)


def tell_others(found: Sequence[Other]) -> None:
    """Say that a study of these parameters exists with other code, before another begins."""
    if found and found[0].finished:
        best = found[0]
        say(
            f"search  begins a new study: the code has changed. Study {best.name[:8]} has the same parameters and "
            f"{count(best.finished, 'finished trial')}; to go on with it, stop this and run "
            "`python -m pipeline keep-study`"
        )


def search(context: Context, ledger: Ledger, study: str, state: Path) -> None:
    """Go on with a study until it has what it is asked for."""
    from pipeline.search.driver.runner import (
        run_search,  # imports Ray, which reads then whether it is to ask for a token
    )

    store = open_store(study, state)
    if ledger.done:
        stopped = f", {ledger.stopped} stopped" if ledger.stopped else ""
        say(f"search  goes on with a study of {count(ledger.finished, 'finished trial')}{stopped}")
    spending = Spending(
        Rates.of(context.params.cost),
        context.params.search.limits,
        before_usd=spent_usd(ledger.records()),
        under_way_usd={number: cost.get("usd", 0.0) for number, cost in ledger.under_way.items()},
    )
    latency = latency_table(context, state)
    job = make_job(context, latency)
    dense = read_json(context.root / SUPERNET / FIGURES)
    config = context.params.search
    live = LiveSearch(context.tracker, context.run, study, list(config.objectives), dense, config.control, state)
    live.begin(ledger.records())
    with StayingLine() as line:
        reporter = Reporter(context.tracker, context.run, config, study, ledger, spending, live, line)
        try:
            run_search(config, job, ledger, state, store, spending, reporter)
        finally:
            live.show(reporter.status(), running=False, at_once=True)
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
    key=lambda root, params: study_key(root, params).name(searches(root)),
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
