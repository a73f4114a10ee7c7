"""All that is measured of extracted networks, beside the dense one: whoever picks networks measures them here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from pipeline.common.datasets import load_eval_photos, read_rgb
from pipeline.common.files import read_json
from pipeline.common.layout import ARCHITECTURE, CLEAN, DENSE, EVAL, SHEET, TRIALS
from pipeline.common.progress import say
from pipeline.config import BenchmarkConfig, Params
from pipeline.report.contact import detail_box
from pipeline.report.measuring import (
    CPU,
    DENSE_SAMPLE,
    HD,
    Dense,
    Extracted,
    best_of_27,
    dense_architecture,
    dense_parameters,
    flops_by_m,
    flops_by_task,
    naturalness,
    oracle_quality,
)
from pipeline.report.pictures import Modulation, Pictures
from pipeline.report.schema import LatencyCell, NetworkFigures, TrialPoint
from tatsnet.data.degradation import GRID, Degradation, Image, degrade
from tatsnet.method.checkpoint import load_masked
from tatsnet.network.flops import effect_cost
from tatsnet.network.supernet import SuperNetwork
from tatsnet.photos.files import list_images
from tatsnet.pruned.folder import read_folder
from tatsnet.quality.control import Control, measure_control
from tatsnet.quality.evaluation import EvalPhoto, restore_all, to_batch, to_images
from tatsnet.quality.niqe import LEAST_SIDE, load_pristine
from tatsnet.restorer import Restorer
from tatsnet.runtimes.choose import AUTO
from tatsnet.system.cpus import usable_cpus
from tatsnet.system.progress import Ticker
from tatsnet.timing.bench import Place, bench
from tatsnet.timing.subjects import dense, pruned

T = TypeVar("T")

SHOWN = Degradation(2.0, 25.0, 60)
"""What the contact sheet's photo is degraded by."""

GROWING = {
    "deblur": Degradation(blur=4),
    "denoise": Degradation(noise=50),
    "dejpeg": Degradation(quality=10),
    "all three": Degradation(4, 50, 10),
}
"""What a detail is degraded by, for each slider that grows."""

POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
FRONT_SHEETS = 16
DETAIL, MARGIN = 160, 32
"""Pixels of a detail's side, and of what the networks see around it."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A found network to measure.

    Attributes:
        name: in the tables.
        variant: as in the paper.
        trial: that found it.
        folder: of the extracted network.
        masked: weights of the network that it was extracted from.
    """

    name: str
    variant: str
    trial: int
    folder: Path
    masked: Path


@dataclass(frozen=True, kw_only=True)
class TestPhotos:
    """What quality is measured on.

    Attributes:
        crops: with their 26 degradations.
        wholes: photos large enough for NIQE.
        shown: file of the photo that the contact sheet shows.
    """

    __test__ = False  # pytest would take it for a test
    crops: list[EvalPhoto]
    wholes: list[Image]
    shown: Path


def load_test_photos(root: Path) -> TestPhotos:
    """The test photos of a project.

    Raises:
        UserError: they are missing.
    """
    files = list_images(root / CLEAN / "test")
    wholes = [photo for photo in map(read_rgb, files) if min(photo.shape[:2]) >= LEAST_SIDE]
    return TestPhotos(crops=load_eval_photos(root / EVAL / "test"), wholes=wholes, shown=files[0])


def time_networks(
    dense_network: SuperNetwork, subjects: Sequence[Subject], config: BenchmarkConfig
) -> dict[str, tuple[LatencyCell, ...]]:
    """Time per effect of 27 of the dense network and the found ones, at every number of threads and image size.

    The dense network runs in the same runtime as the others: the fastest that is installed.
    """
    timed = [
        dense(dense_network, DENSE_SAMPLE),
        *(pruned(subject.name, read_folder(subject.folder)) for subject in subjects),
    ]
    counts = sorted({1, usable_cpus()})
    places = [Place(device="cpu", threads=count, runtime=AUTO) for count in counts]
    turns_of_a_cell = len(timed) * (config.repeats + 1)
    work = [
        width * height / count for count in counts for width, height in config.pixels for _ in range(turns_of_a_cell)
    ]
    ticker = Ticker("benchmark latency", len(work), say, work=work)
    turns = itertools.count()
    cells: dict[str, list[LatencyCell]] = {subject.name: [] for subject in timed}
    for cell in bench(timed, config.pixels, places, config.repeats, lambda text: ticker.at(next(turns), text)):
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


def load_extracted(subject: Subject, device: torch.device = CPU) -> Extracted:
    """A found network in PyTorch, whose results are the same whenever they are measured again."""
    return Extracted(Restorer.load(subject.folder, device, "torch"))


def figures_of(
    subject: Subject | None,
    network: Dense | Extracted,
    params: Params,
    photos: TestPhotos,
    latency: tuple[LatencyCell, ...],
    device: torch.device = CPU,
    dense: Control | None = None,
) -> NetworkFigures:
    """Everything about one network.

    Args:
        subject: None for the dense network.
        dense: how the dense network obeys on the same photos; None for itself.
    """
    if subject and isinstance(network, Extracted):
        architecture = network.restorer.architecture
        model = load_masked(subject.masked)
        parameters = extracted_parameters(subject.folder)
    else:
        architecture, model = dense_architecture(params.network), None
        parameters = dense_parameters(params.network)
    oracle = oracle_quality(network.restore, photos.crops, device)
    obeys = measure_control(network.restore, photos.crops, device, network.sliders)
    scored = evenly(photos.crops, params.benchmark.best_of_27_crops or len(photos.crops))
    best = best_of_27(network, scored, device)
    once, many = effect_cost(architecture, *HD, 1), effect_cost(architecture, *HD, 27)
    return NetworkFigures(
        name=subject.name if subject else DENSE,
        variant=subject.variant if subject else DENSE,
        trial=subject.trial if subject else None,
        psnr_db=oracle.psnr_db,
        ssim=oracle.ssim,
        psnr_best27_db=best.psnr_db,
        ssim_best27=best.ssim,
        best27_images=sum(len(photo.degraded) for photo in scored),
        niqe=naturalness(network, photos.wholes, load_pristine(), params.eval.seed, device) if photos.wholes else None,
        lpips=None,
        flops_ratio_m1=once.ratio,
        flops_ratio_m27=many.ratio,
        gflops_hd_m1=once.per_effect / 1e9,
        gflops_hd_m27=many.per_effect / 1e9,
        shared_layers_pct=architecture.shared_percent,
        parameters=parameters,
        control=obeys.shares(dense or obeys),
        gain_db=dict(obeys.gain_db),
        evenness=dict(obeys.evenness),
        off_rms=obeys.off_rms,
        psnr_by_degradation_db=oracle.by_degradation_db,
        flops_by_m=flops_by_m(architecture),
        flops_by_task=flops_by_task(model, architecture.network),
        latency=latency,
        speedup_27=latency[-1].speedup,
    )


def evenly(photos: Sequence[T], count: int) -> list[T]:
    """`count` of them, evenly spread over the list."""
    count = min(count, len(photos))
    return [photos[(2 * k + 1) * len(photos) // (2 * count)] for k in range(count)]


def control_of(figures: NetworkFigures) -> Control:
    """How a measured network obeys."""
    return Control(gain_db=figures.gain_db, evenness=figures.evenness, off_rms=figures.off_rms)


def extracted_parameters(folder: Path) -> int:
    """Weights and biases at work for one effect: the shared part's and, on average, a task-specific part's."""
    figures = read_json(folder / ARCHITECTURE)["figures"]
    return round(figures["weights_shared"] + figures["weights_specific_mean"])


def modulations_of(networks: Mapping[str, Dense | Extracted], path: Path, seed: int) -> tuple[Modulation, ...]:
    """What each slider, and all three together, make of a detail of a photo; by the networks' even sliders."""
    photo = read_rgb(path)
    left, top, right, bottom = detail_box(photo, DETAIL)
    around = np.s_[max(top - MARGIN, 0) : bottom + MARGIN, max(left - MARGIN, 0) : right + MARGIN]
    inside = np.s_[min(top, MARGIN) : min(top, MARGIN) + DETAIL, min(left, MARGIN) : min(left, MARGIN) + DETAIL]
    made = []
    for slider, degradation in GROWING.items():
        degraded = degrade(photo[around], degradation, np.random.default_rng(seed))
        grown = [tuple(position * (level > 0) for level in degradation.task) for position in POSITIONS]
        rows = {}
        for name, network in networks.items():
            tasks = [network.sliders.task(position) for position in grown]
            outputs = restore_all(network.restore, [degraded] * len(tasks), tasks, CPU)
            rows[name] = tuple(output[inside] for output in outputs)
        clean = photo[around][inside]
        made.append(
            Modulation(slider=slider, degradation=words(degradation), positions=POSITIONS, clean=clean, rows=rows)
        )
    return tuple(made)


def words(degradation: Degradation) -> str:
    """`blur 2, noise 25, JPEG quality 60`."""
    parts = {"blur": degradation.blur, "noise": degradation.noise, "JPEG quality": degradation.quality}
    return ", ".join(f"{name} {value:g}" for name, value in parts.items() if value)


def trial_sheets(root: Path, trials: Sequence[TrialPoint]) -> dict[int, bytes]:
    """What the front's trials make of a photo, by number: of at most FRONT_SHEETS of them, evenly spread over it."""
    front = sorted((trial for trial in trials if trial.pareto), key=lambda trial: trial.flops_ratio_m27)
    files = {trial.number: root / TRIALS / f"{trial.number:04d}" / SHEET for trial in evenly(front, FRONT_SHEETS)}
    return {number: file.read_bytes() for number, file in files.items() if file.is_file()}


def pictures_of(name: str, network: Extracted, path: Path, seed: int) -> Pictures:
    """27 effects of one whole test photo, degraded."""
    clean = read_rgb(path)
    degraded = degrade(clean, SHOWN, np.random.default_rng(seed))
    outputs = network.effects(to_batch([degraded], CPU), GRID)
    effects = tuple((task, to_images(output)[0]) for task, output in zip(GRID, outputs, strict=True))
    return Pictures(
        input_image=degraded,
        clean=clean,
        effects=effects,
        network=name,
        photo=path.name,
        degradation=words(SHOWN),
    )
