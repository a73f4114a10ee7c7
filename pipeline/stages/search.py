"""Stage search: Ray Tune and Optuna over variant, lambda1, lambda2 and gamma."""

from __future__ import annotations

from pathlib import Path

from pipeline.cluster.beside import beside
from pipeline.cluster.ray_auth import close_own_ray, cluster_address
from pipeline.cluster.store import place_of_all
from pipeline.common.errors import UserError
from pipeline.common.files import read_json
from pipeline.common.layout import FIGURES, SUPERNET, TRIALS_FILE
from pipeline.common.progress import StayingLine, count, say
from pipeline.search.driver.budget import Rates, Spending, spent_usd
from pipeline.search.driver.live import LiveSearch
from pipeline.search.driver.reporter import Reporter
from pipeline.search.driver.results import MEASURED_ON, collect, figures_of
from pipeline.search.study.identity import searches, study_key
from pipeline.search.study.ledger import Ledger
from pipeline.search.study.opening import Opened, open_store
from pipeline.search.trial.job import make_job
from pipeline.search.trial.latency import table_of_study
from pipeline.stages.runner import Context, Stage, main
from tatsnet.timing.latency_model import LatencyTable


def work(context: Context) -> None:
    """Search, then hand over what was found."""
    close_own_ray()
    key, place = study_key(context.root, context.params), searches(context.root)
    opened = Opened(key, place)
    study = opened.name
    with opened.ledger(context.params.search) as ledger:
        if ledger.held:
            raise UserError(
                f"workers (`python -m pipeline worker`) train {count(len(ledger.held), 'trial')} of this study: wait "
                "until they end, or end them; then the same command goes on"
            )
        if not ledger.done:
            opened.tell_others()
        if study != key.own:
            context.run.tags({"study.kept": study, "study.code_now": key.code})
            say(f"search  goes on with study {study[:8]}, which began with other code (keep-study)")
        if cluster_address() and not place_of_all():
            say("search  trials write into this machine's .state: other nodes need TATSNET_STORE=s3://bucket/prefix")
        if ledger.done:
            stopped = f", {ledger.stopped} stopped" if ledger.stopped else ""
            say(f"search  goes on with a study of {count(ledger.finished, 'finished trial')}{stopped}")
        search(context, ledger, study, place)


def search(context: Context, ledger: Ledger, study: str, place: Path) -> None:
    """Go on with a study until it has what it is asked for."""
    from pipeline.search.driver.runner import (
        run_search,  # imports Ray, which reads then whether it is to ask for a token
    )

    params, run, state = context.params, context.run, place / study
    config, store = params.search, open_store(study, place)
    spending = Spending(
        Rates.of(params.cost),
        config.limits,
        before_usd=spent_usd(ledger.records()),
        under_way_usd={number: cost.get("usd", 0.0) for number, cost in ledger.under_way.items()},
    )
    latency = recorded_latency(context, state)
    job = make_job(context.root, params, latency)
    dense = read_json(context.root / SUPERNET / FIGURES)
    live = LiveSearch(context.tracker, run, study, list(config.objectives), dense, config.control, state)
    live.begin(ledger.records())
    with StayingLine() as line:
        reporter = Reporter(context.tracker, run, config, study, ledger, spending, live, line, store)
        try:
            recorded = [params.tracking.experiment, run.id] if run.id else []
            with beside(context.root, "pipeline.training.baseline", recorded, config.resources):
                run_search(config, job, ledger, state, store, spending, reporter)
        finally:
            live.show(reporter.status(), running=False, at_once=True)
    if limit := spending.reached:
        say(f"search  ends with what it has at {limit}; a higher limit and `dvc repro` go on")
    collect(context.root, params, ledger, study, store, latency)
    run.metrics(figures_of(ledger))
    run.artifact(context.root / TRIALS_FILE)


def recorded_latency(context: Context, state: Path) -> LatencyTable | None:
    """The study's times of layers, recorded in the run; None where latency is no objective."""
    table = table_of_study(state / "latency.json", context.params)
    if table:
        context.run.tags({f"latency.{name}": str(getattr(table, name)) for name in MEASURED_ON})
        context.run.json(table.to_json(), "latency.json")
    return table


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
