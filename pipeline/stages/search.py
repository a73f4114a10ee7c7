"""Stage search: Ray Tune and Optuna over variant, lambda1, lambda2 and gamma."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pipeline.artifacts import atomic_write_json, fresh_folder, read_json, sha256_file
from pipeline.config import Params
from pipeline.datasets import load_eval_photos, load_pack
from pipeline.layout import CLEAN, EVAL, FIGURES, STATE, SUPERNET, TRAIN_PIXELS, TRIALS, TRIALS_FILE, WEIGHTS
from pipeline.models import code_version, key_of, responses_from_json
from pipeline.progress import duration, say
from pipeline.search.latency import table_of_study
from pipeline.search.ledger import Ledger, sqlite
from pipeline.search.runner import Asked, run_search
from pipeline.search.store import Store
from pipeline.search.trial import Job
from pipeline.stage import Context, Stage, main
from pipeline.tracking import Run
from pipeline.tracking.keys import TRIAL_STAGE
from tatsnet.architecture import NetworkConfig
from tatsnet.bench.cells import machine
from tatsnet.checkpoint import load_dense
from tatsnet.latency_model import LatencyTable, dense_ms

RESPONSES = ("range", "evenness")
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
        "code": code_version(),
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
        self._began, self._done_before = time.monotonic(), ledger.finished
        self._wanted = context.params.search.trials
        self._total = context.params.search.schedule.iterations

    def started(self, asked: Asked) -> None:
        point = asked.point
        say(
            f"search  trial {asked.number} starts: {point.variant}  lambda1 {point.lambda1:.2g}  "
            f"lambda2 {point.lambda2:.2g}  gamma {point.gamma:.2f}"
        )
        run = self._context.tracker.start(
            f"trial-{asked.number:02d}",
            stage=TRIAL_STAGE,
            tags={"variant": point.variant, "number": str(asked.number)},
            parent=self._context.run.id,
            key=f"{self._study}.{asked.key}",
        )
        run.params(point.to_json())
        self._runs[asked.number] = run

    def reached(self, asked: Asked, result: dict[str, Any]) -> None:
        if "reached" in result:
            say(
                f"search  trial {asked.number}  {result['reached']}/{self._total} {result['phase']}  "
                f"loss {result['loss']:.4f}  {self._left()}"
            )

    def ended(self, asked: Asked, record: dict[str, Any], failed: str | None) -> None:
        run = self._runs.pop(asked.number)
        numbers = {name: float(value) for name, value in record.items() if isinstance(value, int | float)}
        answers = record.get("response", {})
        numbers |= {f"response_{axis}_{n}": answers[axis][n] for axis in answers for n in RESPONSES}
        run.metrics(numbers)
        if failed:
            run.tags({"reason": failed})
        run.finish("FAILED" if failed else "FINISHED")
        figures = (
            f"{record['psnr_db']:.2f} dB, FLOPs {100 * record['flops_ratio_m1']:.1f} % (M = 1) "
            f"{100 * record['flops_ratio_m27']:.1f} % (M = 27), {record['shared_layers_pct']:.0f} % shared"
            if record
            else ""
        )
        if "latency_ratio_m27" in record:
            figures += f", time {100 * record['latency_ratio_m27']:.1f} % (M = 27)"
        say(f"search  trial {asked.number} {'FAILED: ' + failed if failed else 'finished'}  {figures}  {self._left()}")

    def _left(self) -> str:
        done = self._ledger.finished
        made = done - self._done_before
        text = f"[{done}/{self._wanted} trials finished"
        if made:
            rest = (time.monotonic() - self._began) / made * (self._wanted - done)
            text += f", about {duration(max(rest, 0))} left"
        return text + "]"


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
            "trials": rows,
        },
    )
    return [row for row in rows if row["state"] == "finished"]


def latency_facts(table: LatencyTable, network: NetworkConfig) -> dict[str, Any]:
    """On what the trials' latencies hold, and the dense network's by the same table."""
    return {name: getattr(table, name) for name in RECORDED} | {"dense_ms": dense_ms(table, network)}


def work(context: Context) -> None:
    """Search, then hand over what was found."""
    study = study_key(context.root, context.params)
    state = context.root / STATE / "search" / study
    ledger = Ledger(sqlite(state / "study.db"), study, context.params.search)
    if ledger.finished:
        say(f"search  goes on with a study of {ledger.finished} finished trials")
    store = Store(str((Path(state) / "networks").resolve()))
    reporter = Reporter(context, ledger, study)
    latency = latency_table(context, state)
    run_search(context.params.search, make_job(context, latency), ledger, study, state, store.url, reporter)
    finished = collect(context, ledger, study, store, latency)
    context.run.metrics(
        {
            "finished": len(finished),
            "failed": ledger.failed,
            "best_psnr_db": max(row["metrics"]["psnr_db"] for row in finished),
            "device_hours": sum(row["metrics"]["device_hours"] for row in finished),
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
