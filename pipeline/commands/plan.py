"""What a profile will cost, reckoned without running anything: iterations, FLOPs, GPU-hours, money and disk.

An iteration is taken as three forward passes of its batch (one forward, two for the gradients); pruned networks are
reckoned as dense ones, and every pick as another trial, so evaluation and finetuning are upper bounds. Photos of a
user's own folder or bucket are not counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Params
from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.flops import dense_flops

PASSES_PER_ITERATION = 3
DEGRADATIONS = 26
EFFECTS = 27
RESPONSE_PASSES = 15
"""Three sliders at five positions each."""

CHECKPOINTS_KEPT = 2
"""By the store, of each trial under way."""

NETWORKS_KEPT = 2
"""Of each trial that ended: in the store, and among the outputs of the search."""

BYTES_PER_WEIGHT = 4
ADAM_COPIES = 3
"""A checkpoint holds the weights and Adam's two moments."""


@dataclass(frozen=True, kw_only=True)
class Photos:
    """A source: photos of each split, their usual size, bytes of its archives and of the unpacked photos."""

    train: int
    valid: int
    test: int
    size: tuple[int, int]
    test_size: tuple[int, int]
    download: int
    unpacked: int


_CBSD68_BYTES = 20_000_000
_DIV2K_BYTES = 3_530_603_713 + 448_993_893
_BSDS_BYTES = 70_763_455
_BSDS_SIZE = (481, 321)
PHOTOS = {
    "sample": Photos(train=5, valid=1, test=2, size=(560, 420), test_size=(640, 427), download=0, unpacked=4_000_000),
    "bsds": Photos(
        train=416,
        valid=16,
        test=68,
        size=_BSDS_SIZE,
        test_size=_BSDS_SIZE,
        download=_BSDS_BYTES + _CBSD68_BYTES,
        unpacked=150_000_000,
    ),
    "div2k": Photos(
        train=800,
        valid=100,
        test=68,
        size=(2040, 1404),
        test_size=_BSDS_SIZE,
        download=_DIV2K_BYTES + _CBSD68_BYTES,
        unpacked=_DIV2K_BYTES + _CBSD68_BYTES,
    ),
}


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage: `runs` trainings of `iterations` steps in all, FLOPs of training and evaluation, bytes it writes."""

    stage: str
    runs: int = 0
    iterations: int = 0
    training_flops: float = 0.0
    evaluation_flops: float = 0.0
    disk_bytes: int = 0

    @property
    def flops(self) -> float:
        """All FLOPs of the stage."""
        return self.training_flops + self.evaluation_flops


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All stages of a profile, with the rate and the price that they are reckoned at.

    `download_bytes` is None where the photos are the user's own: they, and what is cut from them, are not counted.
    """

    profile: str
    source: str
    network: NetworkConfig
    stages: tuple[StagePlan, ...]
    download_bytes: int | None
    gpu_tflops: float
    gpu_hour_usd: float

    @property
    def total(self) -> StagePlan:
        """The sum of the stages."""
        return StagePlan(
            stage="total",
            runs=sum(s.runs for s in self.stages),
            iterations=sum(s.iterations for s in self.stages),
            training_flops=sum(s.training_flops for s in self.stages),
            evaluation_flops=sum(s.evaluation_flops for s in self.stages),
            disk_bytes=sum(s.disk_bytes for s in self.stages),
        )

    def gpu_hours(self, stage: StagePlan) -> float:
        """Hours of one GPU at the stated rate."""
        return stage.flops / (self.gpu_tflops * 1e12) / 3600

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        rows = [asdict(s) | {"flops": s.flops, "gpu_hours": self.gpu_hours(s)} for s in (*self.stages, self.total)]
        hours = self.gpu_hours(self.total)
        return {
            "profile": self.profile,
            "source": self.source,
            "network": asdict(self.network),
            "gpu_tflops": self.gpu_tflops,
            "gpu_hour_usd": self.gpu_hour_usd,
            "download_bytes": self.download_bytes,
            "stages": rows[:-1],
            "total": rows[-1] | {"usd": hours * self.gpu_hour_usd},
        }


@dataclass(frozen=True, kw_only=True)
class _EvalSet:
    """Photos or crops of a split, and the pixels (width, height) of each."""

    count: int
    size: tuple[int, int]

    def passes(self, network: NetworkConfig, per_photo: float) -> float:
        """FLOPs of `per_photo` dense forward passes of each."""
        return self.count * per_photo * dense_flops(network, self.size[1], self.size[0])

    @property
    def disk_bytes(self) -> int:
        """Each with its degraded versions, uncompressed."""
        return self.count * (1 + DEGRADATIONS) * self.size[0] * self.size[1] * 3


def make_plan(params: Params, profile: Path) -> Plan:
    """The plan of a validated profile; `profile` is only named in it."""
    photos = PHOTOS.get(params.data.source)
    valid, test = _eval_sets(params, photos)
    train_bytes = photos.train * photos.size[0] * photos.size[1] * 3 if photos else 0
    degrade = StagePlan(stage="degrade", disk_bytes=train_bytes + valid.disk_bytes + test.disk_bytes)
    return Plan(
        profile=str(profile),
        source=params.data.source,
        network=params.network,
        stages=(
            StagePlan(stage="download", disk_bytes=photos.download + photos.unpacked if photos else 0),
            degrade,
            *_trainings(params, valid),
            StagePlan(stage="extract", disk_bytes=2 * _picks(params) * weights(params.network) * 4),
            _benchmark(params, test),
        ),
        download_bytes=photos.download if photos else None,
        gpu_tflops=params.cost.gpu_tflops,
        gpu_hour_usd=params.cost.gpu_hour_usd,
    )


def weights(network: NetworkConfig) -> int:
    """Weights of the dense network's convolutions."""
    return sum(9 * conv.inputs * conv.outputs + conv.outputs for conv in convolutions(network))


def _picks(params: Params) -> int:
    """Networks that are picked, at the most: one by each rule and one for each budget, all of different trials."""
    return len(params.select.picks) + len(params.select.budgets)


def _eval_sets(params: Params, photos: Photos | None) -> tuple[_EvalSet, _EvalSet]:
    crop = (params.eval.crop, params.eval.crop)
    size, test_size = (photos.size, photos.test_size) if photos else (crop, crop)
    counts = (photos.valid, photos.test) if photos else (0, 0)
    return (
        _EvalSet(count=params.eval.valid_crops or counts[0], size=crop if params.eval.crop else size),
        _EvalSet(count=params.eval.test_crops or counts[1], size=crop if params.eval.crop else test_size),
    )


def _trainings(params: Params, valid: _EvalSet) -> tuple[StagePlan, ...]:
    network, search, picks = params.network, params.search, _picks(params)
    step = PASSES_PER_ITERATION * params.train.batch * dense_flops(network, params.train.patch, params.train.patch)
    model = weights(network) * BYTES_PER_WEIGHT
    hidden = search.method.controller_hidden
    controller = (3 + hidden + network.points * network.width) * hidden * BYTES_PER_WEIGHT
    under_way = min(search.resources.concurrent, search.trials)
    kept = NETWORKS_KEPT * search.trials + CHECKPOINTS_KEPT * ADAM_COPIES * under_way
    evaluation = valid.passes(network, DEGRADATIONS + RESPONSE_PASSES)

    def training(stage: str, runs: int, iterations: int, disk: int) -> StagePlan:
        return StagePlan(
            stage=stage,
            runs=runs,
            iterations=iterations,
            training_flops=iterations * step,
            evaluation_flops=runs * evaluation,
            disk_bytes=disk,
        )

    per_pick, per_trial = params.finetune.iterations, search.schedule.iterations
    baseline = per_trial + per_pick
    return (
        training("pretrain", 1, params.pretrain.iterations, model),
        training("search", search.trials, search.trials * per_trial, kept * (model + controller)),
        training("finetune", picks + 1, picks * per_pick + baseline, (picks + 1) * (model + controller)),
    )


def _benchmark(params: Params, test: _EvalSet) -> StagePlan:
    network, networks = params.network, _picks(params) + 1
    best_of = _EvalSet(count=params.benchmark.best_of_27_crops or test.count, size=test.size)
    latency = sum(dense_flops(network, height, width) for width, height in params.benchmark.pixels)
    flops = (
        test.passes(network, DEGRADATIONS + RESPONSE_PASSES)
        + best_of.passes(network, DEGRADATIONS * EFFECTS)
        + 2 * params.benchmark.repeats * EFFECTS * latency  # on one core and on all
    )
    return StagePlan(stage="benchmark", evaluation_flops=networks * flops, disk_bytes=20_000_000)
