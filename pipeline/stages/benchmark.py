"""Stage benchmark: the extracted picks against the dense network of the same training budget, in one run."""

from __future__ import annotations

from pipeline.common.files import fresh_folder
from pipeline.common.layout import REPORTS
from pipeline.common.progress import say
from pipeline.report import Metrics, write_report
from pipeline.report.card import Origin
from pipeline.report.networks import pictures_of
from pipeline.report.picks import Picks, assemble, measure, pictures_of_first, read_picks
from pipeline.report.registration import register_network
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import last_run_id
from pipeline.tracking.facts import run_facts
from tatsnet.data.degradation import GRID
from tatsnet.method.checkpoint import load_masked
from tatsnet.pruned.extraction import largest_difference
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.network import ExtractedNetwork

STAGES = ("download", "degrade", "pretrain", "search", "select", "finetune", "extract")


def work(context: Context) -> None:
    """Measure everything, write `reports/`, register the networks."""
    root, params = context.root, context.params
    picks = read_picks(root)
    figures = measure(picks, params)
    metrics = assemble(root, params, picks, figures, run_facts(root)["git.commit"], stage_seconds(context))
    pictures = pictures_of_first(root, picks, metrics.front, params.eval.seed)
    with fresh_folder(root / REPORTS) as folder:
        write_report(metrics, pictures, folder)
    record(context, metrics)
    register(context, picks, metrics)


def stage_seconds(context: Context) -> dict[str, float]:
    """Seconds of each stage's last run, where the tracker knows them."""
    seconds = {}
    for stage in STAGES:
        run_id = last_run_id(context.root, stage)
        found = [run for run in context.tracker.find({"stage": stage}) if run.id == run_id]
        if found and "seconds" in found[0].metrics:
            seconds[stage] = found[0].metrics["seconds"]
    return seconds


def record(context: Context, metrics: Metrics) -> None:
    """The main figures and the report's files into the run."""
    numbers = {"input_psnr_db": metrics.input_psnr_db, "dense_psnr_db": metrics.dense_psnr_db}
    for pick in metrics.picks:
        numbers |= {
            f"{pick.name}_psnr_db": pick.psnr_db,
            f"{pick.name}_flops_ratio_m27": pick.flops_ratio_m27,
            f"{pick.name}_speedup_27": pick.speedup_27,
        }
    context.run.metrics(numbers)
    context.run.artifact(context.root / REPORTS, "report")


def register(context: Context, picks: Picks, metrics: Metrics) -> None:
    """Every picked network as a version of the registered model, its rules as aliases."""
    model, rows = context.params.tracking.model, {row["number"]: row for row in picks.trials["trials"]}
    for subject in picks.subjects:
        own = [pick for pick in metrics.picks if pick.trial == subject.trial]
        extracted = ExtractedNetwork(read_folder(subject.folder))
        origin = Origin(
            study=picks.trials["study"],
            trial=subject.trial,
            point=rows[subject.trial],
            iterations=(picks.trials["iterations"], context.params.finetune.iterations),
            source=metrics.profile.source,
            dataset_sha256=metrics.profile.dataset_sha256,
            difference=largest_difference(load_masked(subject.masked), extracted, GRID),
            dense_psnr_db=metrics.dense_psnr_db,
        )
        network, seed = picks.extracted(subject.name), context.params.eval.seed
        pictures = pictures_of(subject.name, network, picks.photos.shown, seed)
        aliases = [pick.name for pick in own]
        made = register_network(context.tracker, context.run, model, subject.folder, own[0], origin, aliases, pictures)
        for line in made.said(model):
            say(f"benchmark  {line}")


STAGE = Stage(
    name="benchmark",
    summary="measures the picks against the dense network and writes the report",
    upstream=("download", "degrade", "search", "select", "finetune", "extract"),
    sections=lambda params: {"benchmark": params.benchmark},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
