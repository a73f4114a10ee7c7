"""One trial's work: train, measure, hand over. Knows nothing of Ray, Optuna or MLflow."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.common.layout import SHEET
from pipeline.search.study.space import Point
from pipeline.search.trial.sheet import effects_sheet
from tatsnet.data.degradation import GRID
from tatsnet.data.pairs import PhotoPack
from tatsnet.method.checkpoint import save_masked
from tatsnet.method.engine import pick_device, training_batches
from tatsnet.method.masked import MaskedNetwork
from tatsnet.method.settings import MethodConfig, Schedule, TrainConfig
from tatsnet.method.training import ITERATION, Progress, freeze, search
from tatsnet.network.architecture import Architecture, NetworkConfig, dumps
from tatsnet.network.flops import effect_cost
from tatsnet.quality.control import Control, measure_control
from tatsnet.quality.evaluation import EvalPhoto, oracle_psnr
from tatsnet.system.files import pack, unpack
from tatsnet.timing.latency_model import LatencyTable, dense_ms, predict

REFERENCE_SIDE = 256
"""FLOPs ratios are taken at this size; they hold at every even size but for the controller's few thousand FLOPs."""

EFFECTS = 27
"""M of the latency, as of the FLOPs that are minimised."""

SECONDS = "seconds"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all trials of a search share; travels to the workers once.

    Attributes:
        pack: the training photos.
        valid: the validation crops.
        warm: weights of the dense super network.
        dense: how the dense network obeys.
        latency: times of the layers, where latency is an objective.
    """

    network: NetworkConfig
    train: TrainConfig
    schedule: Schedule
    method: MethodConfig
    pack: PhotoPack
    valid: tuple[EvalPhoto, ...]
    warm: Mapping[str, torch.Tensor]
    dense: Control
    gpus: float
    cpus: float
    latency: LatencyTable | None = None


def trial_key(study: str, number: int, point: Point, seed: int) -> str:
    """A trial's identity: the same study, number, point and seed train the same network."""
    return hashlib.sha256(f"{study} {number} {sorted(point.to_json().items())} {seed}".encode()).hexdigest()[:16]


class Trial:
    """A search trial that whoever runs it can look at, suspend, and resume elsewhere.

    Args:
        checkpoint: of a trial that was suspended; None begins.

    Raises:
        ValueError: a checkpoint that is damaged, or of another trial.
        Diverged: from `advance`, when the loss is not finite.
    """

    def __init__(self, job: Job, point: Point, seed: int, checkpoint: bytes | None = None) -> None:
        self.job, self.point, self._seed = job, point, seed
        state = None if checkpoint is None else unpack(checkpoint, Path("the checkpoint"), "the trial begins anew")
        self._seconds_before = 0.0 if state is None else float(state.pop(SECONDS))
        done = 0 if state is None else int(state[ITERATION])
        self._began = time.perf_counter()
        self.device = pick_device(job.train.device)
        generator = torch.Generator().manual_seed(seed)
        objective = point.objective()
        self.model = MaskedNetwork(
            job.network, job.method, gamma=point.gamma, sharing=objective.variant.shares, generator=generator
        )
        self.model.supernet.load_state_dict(dict(job.warm))
        ready = training_batches(
            job.pack,
            job.train,
            relative=objective.variant.relative,
            seed=seed + 1,
            start=done,
            stop=job.schedule.iterations,
            device=self.device,
        )
        self._training = search(
            self.model, objective, ready, job.schedule, job.train, self.device, generator, resume=state
        )

    @property
    def iteration(self) -> int:
        """Finished iterations."""
        return self._training.iteration

    @property
    def seconds(self) -> float:
        """Worked on it so far, before it was suspended too."""
        return self._seconds_before + time.perf_counter() - self._began

    def advance(self) -> Progress | None:
        """Train up to the next report; None when the training has ended."""
        return next(self._training, None)

    def checkpoint(self) -> bytes:
        """All that it takes to go on from here, as a safetensors file."""
        return pack({**self._training.state(), SECONDS: torch.tensor(self.seconds, dtype=torch.float64)})

    def score(self) -> dict[str, float]:
        """Validation PSNR and costs as they would be if the search ended here; the trial goes on as if unseen."""
        model = copy.deepcopy(self.model)
        freeze(model, self.point.objective(), self.job.train, torch.Generator().manual_seed(self._seed))
        return self._figures(model, model.architecture(GRID))

    def measure(self) -> dict[str, Any]:
        """The figures of the trained network on the validation crops."""
        self.model.eval()
        architecture = self.model.architecture(GRID)
        return {
            **self._figures(self.model, architecture),
            "flops_ratio_m1": effect_cost(architecture, REFERENCE_SIDE, REFERENCE_SIDE, 1).ratio,
            "shared_layers_pct": architecture.shared_percent,
            "dead_points": dead_points(architecture.patterns, self.job.method.least_channels),
            "patterns": len(architecture.patterns),
            **measure_control(self.model, self.job.valid, self.device).beside(self.job.dense),
            **self.spent(),
        }

    def spent(self) -> dict[str, float]:
        """Iterations; seconds of wall clock, of CPUs and of GPUs; hours of what it runs on."""
        seconds, job = self.seconds, self.job
        return {
            "iterations": self.iteration,
            "seconds": seconds,
            "cpu_seconds": seconds * job.cpus,
            "gpu_seconds": seconds * job.gpus,
            "device_hours": seconds / 3600 * (job.gpus or job.cpus),
        }

    def _figures(self, model: MaskedNetwork, architecture: Architecture) -> dict[str, float]:
        return {
            "psnr_db": oracle_psnr(model, self.job.valid, self.device),
            "flops_ratio_m27": effect_cost(architecture, REFERENCE_SIDE, REFERENCE_SIDE, EFFECTS).ratio,
            **latency_figures(self.job.latency, architecture),
        }

    def save(self, folder: Path) -> None:
        """Write the network, its architecture, and what it makes of a photo."""
        architecture = self.model.architecture(GRID)
        (folder / "architecture.json").write_text(dumps(architecture), encoding="utf-8")
        meta = {"variant": self.point.variant}
        save_masked(
            folder / "weights.safetensors",
            self.model,
            gamma=self.point.gamma,
            sharing=self.point.objective().variant.shares,
            meta=meta,
        )
        (folder / SHEET).write_bytes(effects_sheet(self.model, self.job.valid[0], self.device))


def latency_figures(table: LatencyTable | None, architecture: Architecture) -> dict[str, float]:
    """Milliseconds per effect of 27 by a table, and their share of the dense network's by the same; nothing without."""
    if table is None:
        return {}
    found = predict(table, architecture, EFFECTS)
    return {"latency_ms": found, "latency_ratio_m27": found / dense_ms(table, architecture.network)}


def dead_points(patterns: tuple[tuple[tuple[int, ...], ...], ...], floor: int) -> int:
    """Selection points that no task opens beyond the floor: nothing there depends on the search any more."""
    return sum(all(len(pattern[point]) <= floor for pattern in patterns) for point in range(len(patterns[0])))
