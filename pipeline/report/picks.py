"""The picked networks: which there are, what is measured of them, and all of it together in one report."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.common.files import read_json
from pipeline.common.layout import CLEAN, DENSE, FIGURES, PRUNED, SELECTED_FILE, TRIALS_FILE, TUNED, WEIGHTS
from pipeline.common.progress import say
from pipeline.config import Params
from pipeline.report.measuring import Dense, Extracted, Measured, input_by_degradation
from pipeline.report.networks import (
    Subject,
    TestPhotos,
    control_of,
    evenly,
    figures_of,
    load_extracted,
    load_test_photos,
    modulations_of,
    pictures_of,
    time_networks,
    trial_sheets,
)
from pipeline.report.pictures import Pictures
from pipeline.report.schema import Machine, Metrics, NetworkFigures, Profile, TrialPoint
from pipeline.report.trials import search_cost, trial_counts, trial_points
from tatsnet.method.checkpoint import load_dense
from tatsnet.method.engine import pick_device
from tatsnet.quality.evaluation import input_psnr
from tatsnet.system.cpus import usable_cpus
from tatsnet.system.progress import Ticker
from tatsnet.timing.cells import processor


@dataclass(frozen=True, kw_only=True)
class Picks:
    """What the earlier stages left.

    Attributes:
        selected, trials: `search/selected.json` and `search/trials.json`.
        subjects: a network of each picked trial, named by its first pick.
        same: every pick with that name.
        dense: weights of the dense network of the same training budget.
        photos: to measure on.
    """

    selected: dict[str, Any]
    trials: dict[str, Any]
    subjects: list[Subject]
    same: dict[str, str]
    dense: Path
    photos: TestPhotos

    def networks(self, device: torch.device) -> dict[str, Measured]:
        """The dense network, then the picked ones."""
        networks: dict[str, Measured] = {DENSE: Dense(load_dense(self.dense).to(device))}
        return networks | {subject.name: load_extracted(subject, device) for subject in self.subjects}

    def extracted(self, name: str) -> Extracted:
        """A picked network, on the CPU."""
        return load_extracted(next(subject for subject in self.subjects if subject.name == name))


def read_picks(root: Path) -> Picks:
    """The picks whose networks were extracted.

    Raises:
        UserError: what an earlier stage makes is missing.
    """
    again = "run the stage again: dvc repro --force "
    selected = read_json(root / SELECTED_FILE, again + "select")
    trials = read_json(root / TRIALS_FILE, again + "search")
    picks = {pick["name"]: pick for pick in selected["picks"] if (root / PRUNED / pick["name"]).is_dir()}
    first: dict[int, str] = {}
    same = {name: first.setdefault(pick["trial"], name) for name, pick in picks.items()}
    return Picks(
        selected=selected,
        trials=trials,
        subjects=[subject_of(root, picks[name]) for name in first.values()],
        same=same,
        dense=root / TUNED / DENSE / WEIGHTS,
        photos=load_test_photos(root),
    )


def subject_of(root: Path, pick: Mapping[str, Any]) -> Subject:
    """A pick as a network to measure."""
    return Subject(
        name=pick["name"],
        variant=pick["variant"],
        trial=pick["trial"],
        folder=root / PRUNED / pick["name"],
        masked=root / TUNED / f"{pick['trial']:04d}" / WEIGHTS,
    )


def measure(picks: Picks, params: Params) -> dict[str, NetworkFigures]:
    """The figures of the dense network and of every picked one: time on the CPU, quality where trainings run."""
    cells = time_networks(load_dense(picks.dense), picks.subjects, params.benchmark)
    device = pick_device(params.train.device)
    by_name: dict[str, Subject | None] = {DENSE: None, **{subject.name: subject for subject in picks.subjects}}
    networks = picks.networks(device)
    figures: dict[str, NetworkFigures] = {}
    ticker = Ticker("benchmark quality", len(networks), say, every=0)
    for done, (name, network) in enumerate(networks.items(), 1):
        dense = control_of(figures[DENSE]) if figures else None
        figures[name] = figures_of(by_name[name], network, params, picks.photos, cells[name], device, dense)
        ticker.at(done, f"{name}  {figures[name].psnr_db:.2f} dB")
    return figures


def assemble(
    root: Path,
    params: Params,
    picks: Picks,
    figures: Mapping[str, NetworkFigures],
    git_commit: str,
    seconds: Mapping[str, float],
) -> Metrics:
    """All that the report tells.

    Args:
        seconds: that each stage took.
    """
    photos, trials = picks.photos, picks.trials
    scored_crops = evenly(photos.crops, params.benchmark.best_of_27_crops or len(photos.crops))
    return Metrics(
        profile=Profile(
            width=params.network.width,
            blocks=params.network.blocks,
            source=params.data.source,
            dataset_sha256=read_json(root / CLEAN / "manifest.json")["dataset_sha256"],
            git_commit=git_commit,
            test_photos=len(photos.crops),
        ),
        machine=Machine(cpu=processor(), cores=os.cpu_count() or 1, torch=torch.__version__, threads=usable_cpus()),
        input_psnr_db=input_psnr(photos.crops),
        dense_psnr_db=figures[DENSE].psnr_db,
        dense_valid_psnr_db=read_json(root / TUNED / FIGURES)[DENSE]["psnr_db"],
        input_best27_psnr_db=input_psnr(scored_crops),
        input_by_degradation_db=input_by_degradation(photos.crops),
        hypervolume=picks.selected["hypervolume"],
        trials=trial_counts(trials["trials"]),
        dense=figures[DENSE],
        picks=tuple(dataclasses.replace(figures[first], name=name) for name, first in picks.same.items()),
        front=trial_points(trials["trials"], picks.selected),
        stages=dict(seconds),
        search_cost=search_cost(trials["trials"], trials.get("under_way", [])),
    )


def pictures_of_first(root: Path, picks: Picks, front: Sequence[TrialPoint], seed: int) -> Pictures:
    """What the first pick makes of a test photo, beside the dense network, and what the front's trials make of another.

    Args:
        seed: of the noise.
    """
    name, photo = next(iter(picks.same)), picks.photos.shown
    network = picks.extracted(name)
    networks: dict[str, Measured] = {DENSE: Dense(load_dense(picks.dense)), name: network}
    return dataclasses.replace(
        pictures_of(name, network, photo, seed),
        modulations=modulations_of(networks, photo, seed),
        trials=trial_sheets(root, front),
    )
