"""Stage benchmark: the extracted picks against the dense network of the same training budget, in one run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch

from pipeline.common.files import fresh_folder, read_json
from pipeline.common.layout import CLEAN, DENSE, FIGURES, PRUNED, REPORTS, SELECTED_FILE, TRIALS_FILE, TUNED, WEIGHTS
from pipeline.common.progress import say
from pipeline.report import (
    Machine,
    Metrics,
    NetworkFigures,
    Profile,
    search_cost,
    trial_counts,
    trial_points,
    write_report,
)
from pipeline.report.card import Origin
from pipeline.report.measuring import CPU, Dense, Extracted, Measured, input_by_degradation
from pipeline.report.networks import (
    Subject,
    control_of,
    evenly,
    figures_of,
    load_extracted,
    load_test_photos,
    pictures_of,
    time_networks,
)
from pipeline.report.registration import register_network
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import last_run_id
from pipeline.tracking.facts import run_facts
from tatsnet.method.checkpoint import load_dense, load_masked
from tatsnet.method.engine import pick_device
from tatsnet.pruned.extraction import grid_tasks, largest_difference
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.quality.evaluation import input_psnr
from tatsnet.system.cpus import usable_cpus
from tatsnet.system.progress import Ticker
from tatsnet.timing.cells import processor

STAGES = ("download", "degrade", "pretrain", "search", "select", "finetune", "extract")


def first_of_each_trial(picks: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Every pick's name with the first pick of the same trial: one network is measured once."""
    first: dict[int, str] = {}
    return {name: first.setdefault(pick["trial"], name) for name, pick in picks.items()}


def subjects_of(root: Path, picks: dict[str, dict[str, Any]], names: list[str]) -> list[Subject]:
    """The named picks as networks to measure."""
    return [
        Subject(
            name=name,
            variant=picks[name]["variant"],
            trial=picks[name]["trial"],
            folder=root / PRUNED / name,
            masked=root / TUNED / f"{picks[name]['trial']:04d}" / WEIGHTS,
        )
        for name in names
    ]


def load_networks(dense_weights: Path, subjects: list[Subject], device: torch.device) -> dict[str, Measured]:
    """The dense network, then the picks."""
    networks: dict[str, Measured] = {DENSE: Dense(load_dense(dense_weights).to(device))}
    return networks | {subject.name: load_extracted(subject, device) for subject in subjects}


def stage_seconds(context: Context) -> dict[str, float]:
    """Seconds of each stage's last run, where the tracker knows them."""
    seconds = {}
    for stage in STAGES:
        run_id = last_run_id(context.root, stage)
        found = [run for run in context.tracker.find({"stage": stage}) if run.id == run_id]
        if found and "seconds" in found[0].metrics:
            seconds[stage] = found[0].metrics["seconds"]
    return seconds


def register(
    context: Context,
    metrics: Metrics,
    subjects: list[Subject],
    networks: dict[str, Measured],
    trials: dict[str, Any],
    shown: Path,
) -> None:
    """Every picked network as a version of the registered model, its rules as aliases."""
    model, rows = context.params.tracking.model, {row["number"]: row for row in trials["trials"]}
    for subject in subjects:
        network, picks = networks[subject.name], [pick for pick in metrics.picks if pick.trial == subject.trial]
        assert isinstance(network, Extracted)
        extracted = ExtractedNetwork(read_folder(subject.folder))
        origin = Origin(
            study=trials["study"],
            trial=subject.trial,
            point=rows[subject.trial],
            iterations=(trials["iterations"], context.params.finetune.iterations),
            source=metrics.profile.source,
            dataset_sha256=metrics.profile.dataset_sha256,
            difference=largest_difference(load_masked(subject.masked), extracted, grid_tasks()),
            dense_psnr_db=metrics.dense_psnr_db,
        )
        pictures = pictures_of(subject.name, network, shown, context.params.eval.seed)
        made = register_network(
            context.tracker,
            context.run,
            model,
            subject.folder,
            picks[0],
            origin,
            [pick.name for pick in picks],
            pictures,
        )
        for line in made.said(model):
            say(f"benchmark  {line}")


def work(context: Context) -> None:
    """Measure everything, write `reports/`, register the networks."""
    root, params = context.root, context.params
    again = "run the stage again: dvc repro --force "
    selected = read_json(root / SELECTED_FILE, again + "select")
    trials = read_json(root / TRIALS_FILE, again + "search")
    photos = load_test_photos(root)
    picks = {pick["name"]: pick for pick in selected["picks"] if (root / PRUNED / pick["name"]).is_dir()}
    same = first_of_each_trial(picks)
    subjects = subjects_of(root, picks, list(dict.fromkeys(same.values())))
    dense_weights = root / TUNED / DENSE / WEIGHTS
    networks = load_networks(dense_weights, subjects, CPU)
    cells = time_networks(load_dense(dense_weights), subjects, params.benchmark)
    device = pick_device(params.train.device)
    scored = networks if device == CPU else load_networks(dense_weights, subjects, device)
    by_name: dict[str, Subject | None] = {DENSE: None, **{subject.name: subject for subject in subjects}}
    figures: dict[str, NetworkFigures] = {}
    ticker = Ticker("benchmark quality", len(networks), say, every=0)
    for done, (name, network) in enumerate(scored.items(), 1):
        dense = control_of(figures[DENSE]) if figures else None
        figures[name] = figures_of(by_name[name], network, params, photos, cells[name], device, dense)
        ticker.at(done, f"{name}  {figures[name].psnr_db:.2f} dB")
    shown = next(iter(picks))
    scored_crops = evenly(photos.crops, params.benchmark.best_of_27_crops or len(photos.crops))
    manifest = read_json(root / CLEAN / "manifest.json")

    metrics = Metrics(
        profile=Profile(
            width=params.network.width,
            blocks=params.network.blocks,
            source=params.data.source,
            dataset_sha256=manifest["dataset_sha256"],
            git_commit=run_facts(root)["git.commit"],
            test_photos=len(photos.crops),
        ),
        machine=Machine(
            cpu=processor(),
            cores=os.cpu_count() or 1,
            torch=torch.__version__,
            threads=usable_cpus(),
        ),
        input_psnr_db=input_psnr(photos.crops),
        dense_psnr_db=figures[DENSE].psnr_db,
        dense_valid_psnr_db=read_json(root / TUNED / FIGURES)[DENSE]["psnr_db"],
        input_best27_psnr_db=input_psnr(scored_crops),
        input_by_degradation_db=input_by_degradation(photos.crops),
        hypervolume=selected["hypervolume"],
        trials=trial_counts(trials["trials"]),
        dense=figures[DENSE],
        picks=tuple(dataclasses.replace(figures[first], name=name) for name, first in same.items()),
        front=trial_points(trials["trials"], selected),
        stages=stage_seconds(context),
        search_cost=search_cost(trials["trials"], trials.get("under_way", [])),
    )
    network = networks[shown]
    assert isinstance(network, Extracted)
    with fresh_folder(root / REPORTS) as folder:
        write_report(metrics, pictures_of(shown, network, photos.shown, params.eval.seed), folder)
    record(context, metrics)
    register(context, metrics, subjects, networks, trials, photos.shown)


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


STAGE = Stage(
    name="benchmark",
    summary="measures the picks against the dense network and writes the report",
    upstream=("download", "degrade", "search", "select", "finetune", "extract"),
    sections=lambda params: {"benchmark": params.benchmark},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
