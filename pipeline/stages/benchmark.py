"""Stage benchmark: the extracted picks against the dense network of the same training budget, in one run."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.common.datasets import load_eval_photos, read_rgb
from pipeline.common.files import fresh_folder, read_json
from pipeline.common.layout import (
    ARCHITECTURE,
    CLEAN,
    DENSE,
    EVAL,
    FIGURES,
    PRUNED,
    REPORTS,
    SELECTED_FILE,
    TRIALS_FILE,
    TUNED,
    WEIGHTS,
)
from pipeline.common.progress import Ticker, say
from pipeline.config import BenchmarkConfig
from pipeline.report import (
    LatencyCell,
    Machine,
    Metrics,
    NetworkFigures,
    Pictures,
    Profile,
    search_cost,
    trial_counts,
    trial_points,
    write_report,
)
from pipeline.report.measuring import (
    CPU,
    DENSE_SAMPLE,
    HD,
    TASKS,
    Dense,
    Extracted,
    Measured,
    best_of_27,
    dense_architecture,
    dense_parameters,
    flops_by_m,
    flops_by_task,
    naturalness,
    oracle_quality,
)
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import last_run_id
from pipeline.tracking.facts import run_facts
from tatsnet.data.degradation import Degradation, Image, degrade
from tatsnet.method.checkpoint import load_dense, load_masked
from tatsnet.method.engine import pick_device
from tatsnet.network.flops import effect_cost
from tatsnet.photos.files import list_images
from tatsnet.pruned.folder import read_folder
from tatsnet.quality.evaluation import EvalPhoto, input_psnr, response, to_batch, to_images
from tatsnet.quality.niqe import LEAST_SIDE, load_pristine
from tatsnet.restorer import Restorer
from tatsnet.runtimes.choose import AUTO
from tatsnet.timing.bench import Place, bench
from tatsnet.timing.cells import processor
from tatsnet.timing.subjects import dense, pruned

STAGES = ("download", "degrade", "pretrain", "search", "select", "finetune", "extract")
SHOWN = Degradation(2.0, 25.0, 60)
"""What the contact sheet's photo is degraded by."""


def time_networks(root: Path, names: list[str], config: BenchmarkConfig) -> dict[str, tuple[LatencyCell, ...]]:
    """Time per effect of 27 of the dense network and the named picks, at every number of threads and image size.

    The dense network runs in the same runtime as the picks: the fastest that is installed.
    """
    subjects = [
        dense(load_dense(root / TUNED / DENSE / WEIGHTS), DENSE_SAMPLE),
        *(pruned(name, read_folder(root / PRUNED / name)) for name in names),
    ]
    counts = sorted({1, len(os.sched_getaffinity(0))})
    places = [Place(device="cpu", threads=count, runtime=AUTO) for count in counts]
    ticker = Ticker("benchmark latency", len(config.sizes) * len(counts) * len(subjects) * (config.repeats + 1))
    turns = itertools.count()
    cells: dict[str, list[LatencyCell]] = {subject.name: [] for subject in subjects}
    for cell in bench(subjects, config.pixels, places, config.repeats, lambda text: ticker.at(next(turns), text)):
        cells[cell.network].append(
            LatencyCell(
                size=cell.size,
                threads=cell.threads,
                runtime=cell.runtime,
                ms_per_effect=cell.ms_per_effect,
                spread_pct=cell.spread_pct,
                speedup=cell.ratio_to_dense,
            )
        )
    return {name: tuple(found) for name, found in cells.items()}


def figures_of(
    name: str,
    network: Measured,
    pick: dict[str, Any] | None,
    context: Context,
    test: list[EvalPhoto],
    wholes: list[Image],
    latency: tuple[LatencyCell, ...],
    device: torch.device,
) -> NetworkFigures:
    """Everything about one network."""
    params, root = context.params, context.root
    if isinstance(network, Extracted):
        architecture = network.restorer.architecture
        model = load_masked(root / TUNED / f"{pick['trial']:04d}" / WEIGHTS) if pick else None
        parameters = extracted_parameters(root / PRUNED / name)
    else:
        architecture, model = dense_architecture(params.network), None
        parameters = dense_parameters(params.network)
    oracle = oracle_quality(network.restore, test, device)
    scored = evenly(test, params.benchmark.best_of_27_crops or len(test))
    best = best_of_27(network, scored, device)
    once, many = effect_cost(architecture, *HD, 1), effect_cost(architecture, *HD, 27)
    return NetworkFigures(
        name=name,
        variant=pick["variant"] if pick else DENSE,
        trial=pick["trial"] if pick else None,
        psnr_db=oracle.psnr_db,
        ssim=oracle.ssim,
        psnr_best27_db=best.psnr_db,
        ssim_best27=best.ssim,
        best27_images=sum(len(photo.degraded) for photo in scored),
        niqe=naturalness(network, wholes, load_pristine(), params.eval.seed, device) if wholes else None,
        lpips=None,
        flops_ratio_m1=once.ratio,
        flops_ratio_m27=many.ratio,
        gflops_hd_m1=once.per_effect / 1e9,
        gflops_hd_m27=many.per_effect / 1e9,
        shared_layers_pct=architecture.shared_percent,
        parameters=parameters,
        response=response(network.restore, test, device),
        flops_by_m=flops_by_m(architecture),
        flops_by_task=flops_by_task(model, params.network),
        latency=latency,
        speedup_27=latency[-1].speedup,
    )


def evenly(photos: list[EvalPhoto], count: int) -> list[EvalPhoto]:
    """So many of the photos, evenly spread over the list."""
    count = min(count, len(photos))
    return [photos[(2 * k + 1) * len(photos) // (2 * count)] for k in range(count)]


def first_of_each_trial(picks: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Every pick's name with the first pick of the same trial: one network is measured once."""
    first: dict[int, str] = {}
    return {name: first.setdefault(pick["trial"], name) for name, pick in picks.items()}


def load_networks(root: Path, names: list[str], device: torch.device) -> dict[str, Measured]:
    """The dense network, then the picks; in PyTorch, whose results are the same whenever they are measured again."""
    networks: dict[str, Measured] = {DENSE: Dense(load_dense(root / TUNED / DENSE / WEIGHTS).to(device))}
    return networks | {name: Extracted(Restorer.load(root / PRUNED / name, device, "torch")) for name in names}


def extracted_parameters(folder: Path) -> int:
    """Weights and biases at work for one effect: the shared part's and, on average, a task-specific part's."""
    figures = read_json(folder / ARCHITECTURE)["figures"]
    return round(figures["weights_shared"] + figures["weights_specific_mean"])


def pictures_of(name: str, network: Extracted, path: Path, seed: int) -> Pictures:
    """27 effects of one whole test photo, degraded."""
    clean = read_rgb(path)
    degraded = degrade(clean, SHOWN, np.random.default_rng(seed))
    outputs = network.effects(to_batch([degraded], CPU), TASKS)
    effects = tuple((task, to_images(output)[0]) for task, output in zip(TASKS, outputs, strict=True))
    return Pictures(
        input_image=degraded,
        clean=clean,
        effects=effects,
        network=name,
        photo=path.name,
        degradation=f"blur {SHOWN.blur:g}, noise {SHOWN.noise:g}, JPEG quality {SHOWN.quality}",
    )


def stage_seconds(context: Context) -> dict[str, float]:
    """Seconds of each stage's last run, where the tracker knows them."""
    seconds = {}
    for stage in STAGES:
        run_id = last_run_id(context.root, stage)
        found = [run for run in context.tracker.find({"stage": stage}) if run.id == run_id]
        if found and "seconds" in found[0].metrics:
            seconds[stage] = found[0].metrics["seconds"]
    return seconds


def register(context: Context, metrics: Metrics) -> None:
    """Every picked network as a version of the registered model, its figures as tags, its rules as aliases."""
    by_trial: dict[int | None, list[NetworkFigures]] = {}
    for pick in metrics.picks:
        by_trial.setdefault(pick.trial, []).append(pick)
    for picks in by_trial.values():
        first = picks[0]
        tags = {
            "variant": first.variant,
            "trial": str(first.trial),
            "psnr_db": f"{first.psnr_db:.3f}",
            "ssim": f"{first.ssim:.4f}",
            "flops_ratio_m1": f"{first.flops_ratio_m1:.4f}",
            "flops_ratio_m27": f"{first.flops_ratio_m27:.4f}",
            "shared_layers_pct": f"{first.shared_layers_pct:.1f}",
            "speedup_27": f"{first.speedup_27:.2f}",
        }
        folder = context.root / PRUNED / first.name
        name = context.params.tracking.model
        aliases = [pick.name for pick in picks]
        version = context.tracker.register(context.run.id, name, folder, tags=tags, aliases=aliases)
        say(f"benchmark  registered {name} version {version or '(not recorded)'} as {', '.join(aliases)}")


def work(context: Context) -> None:
    """Measure everything, write `reports/`, register the networks."""
    root, params = context.root, context.params
    again = "run the stage again: dvc repro --force "
    selected = read_json(root / SELECTED_FILE, again + "select")
    trials = read_json(root / TRIALS_FILE, again + "search")
    test = load_eval_photos(root / EVAL / "test")
    photos = list_images(root / CLEAN / "test")
    wholes = [read_rgb(path) for path in photos]
    wholes = [photo for photo in wholes if min(photo.shape[:2]) >= LEAST_SIDE]
    picks = {pick["name"]: pick for pick in selected["picks"]}
    same = first_of_each_trial(picks)
    distinct = list(dict.fromkeys(same.values()))
    networks = load_networks(root, distinct, CPU)
    cells = time_networks(root, distinct, params.benchmark)
    device = pick_device(params.train.device)
    scored = networks if device == CPU else load_networks(root, distinct, device)
    figures = {}
    ticker = Ticker("benchmark quality", len(networks), every=0)
    for done, (name, network) in enumerate(scored.items(), 1):
        figures[name] = figures_of(name, network, picks.get(name), context, test, wholes, cells[name], device)
        ticker.at(done, f"{name}  {figures[name].psnr_db:.2f} dB")
    shown = next(iter(picks))
    manifest = read_json(root / CLEAN / "manifest.json")

    metrics = Metrics(
        profile=Profile(
            width=params.network.width,
            blocks=params.network.blocks,
            source=params.data.source,
            dataset_sha256=manifest["dataset_sha256"],
            git_commit=run_facts(root)["git.commit"],
            test_photos=len(test),
        ),
        machine=Machine(
            cpu=processor(),
            cores=os.cpu_count() or 1,
            torch=torch.__version__,
            threads=len(os.sched_getaffinity(0)),
        ),
        input_psnr_db=input_psnr(test),
        dense_psnr_db=figures[DENSE].psnr_db,
        dense_valid_psnr_db=read_json(root / TUNED / FIGURES)[DENSE],
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
        write_report(metrics, pictures_of(shown, network, photos[0], params.eval.seed), folder)
    record(context, metrics)
    register(context, metrics)


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
