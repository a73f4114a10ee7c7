"""What the benchmark measured: the content of `reports/metrics.json` (docs/metrics.md).

A ratio is a share of the dense network's cost, 0 .. 1. PSNR is in dB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline.report.plain import from_plain, to_plain

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What was searched, and on which data.

    Attributes:
        width, blocks: size of the super network.
        source: where the photos came from, as params.yaml names it.
        dataset_sha256: of the clean photos.
        git_commit: of the code; "" outside of a repository.
        test_photos: test photos or crops of them; each is degraded in 26 ways.
    """

    width: int
    blocks: int
    source: str
    dataset_sha256: str
    git_commit: str
    test_photos: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the latency was measured: processor, its cores, version of torch, threads of the "all cores" figures."""

    cpu: str
    cores: int
    torch: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """Trials that finished in good health, were stopped early by rule, or failed."""

    finished: int
    stopped: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class SearchCost:
    """What all ended trials took, at the rates of the parameters; interrupted work that was done again is not in it.

    Attributes:
        under_way_usd: what trials that were suspended at a limit had cost; not in `usd`.
    """

    cpu_hours: float
    gpu_hours: float
    usd: float
    under_way_usd: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """A finished trial.

    Attributes:
        number: Optuna's.
        lambda1, lambda2, gamma: what was searched over (eq. 8, 10, 11).
        psnr_db: on the validation photos, oracle task vector, before fine-tuning.
        flops_ratio_m1, flops_ratio_m27: FLOPs per effect when 1 and 27 effects are made of a photo (eq. 4).
        shared_layers_pct: selection points that are task-agnostic.
        pareto: no other finished trial is better in PSNR and in all that the search minimised.
        pick: the rule that picked it, several joined by ", "; None where none did.
        latency_ratio_m27: predicted time per effect of 27 as a share of dense, where the search minimised it.
        seconds: of training and measuring.
        usd: at the rates of the parameters.
    """

    number: int
    variant: str
    lambda1: float
    lambda2: float
    gamma: float
    psnr_db: float
    flops_ratio_m1: float
    flops_ratio_m27: float
    shared_layers_pct: float
    pareto: bool
    pick: str | None
    latency_ratio_m27: float | None = None
    seconds: float | None = None
    usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class TaskCost:
    """FLOPs at one slider position.

    Attributes:
        level: of the slider, 0 .. 1.
        shared: of the task-agnostic part, computed once per photo; share of dense.
        specific: of the task-specific part, computed for every effect; share of dense.
    """

    level: float
    shared: float
    specific: float


@dataclass(frozen=True, kw_only=True)
class LatencyCell:
    """Time per effect when 27 effects are made of one image.

    Attributes:
        size: WIDTHxHEIGHT in pixels, as 1280x720.
        threads: that computed.
        runtime: that computed, of this network and of the dense one alike, as `numba`.
        ms_per_effect: median over the repeats, milliseconds.
        spread_pct: (slowest - fastest) / median over the repeats, in %.
        speedup: the dense network's time over this one's, same cell; 1 for dense.
        device: `cpu`, or the name of an accelerator.
    """

    size: str
    threads: int
    runtime: str
    ms_per_effect: float
    spread_pct: float
    speedup: float
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class NetworkFigures:
    """All that was measured of one network, dense or picked, on the test photos.

    Attributes:
        name: `dense`, or the rule that picked it.
        variant: as in the paper; `dense` for the super network.
        trial: number of the trial that found it; None for dense.
        psnr_db, ssim: mean over 26 degradations of each photo, task vector of the true degradation (oracle).
        psnr_best27_db, ssim_best27: mean over inputs of the best of 27 effects (paper, Table 2); None if not measured.
        best27_images: inputs that were scored so.
        niqe: of whole test photos, degraded three ways and restored with the oracle task vector; lower is better.
        lpips: lower is better. Both are None if not measured.
        flops_ratio_m1, flops_ratio_m27: FLOPs per effect at M = 1 and 27 as a share of dense (eq. 4).
        gflops_hd_m1, gflops_hd_m27: the same in 1e9 FLOPs at 1280x720.
        shared_layers_pct: selection points that are task-agnostic.
        parameters: weights and biases at work for one effect: the shared part and, on average, a task-specific part.
        control: by axis, the gain of PSNR on test photos degraded on that axis alone (middle and full level, true task
            vector) as a share of the dense network's; 1 for dense.
        gain_db: by axis, that gain in dB.
        evenness: by axis, of the slider's travel in tenths: 1 is even, 0.1 a single jump.
        off_rms: most that all sliders at 0 change a photo, clean or degraded: RMS in 8-bit steps.
        psnr_by_degradation_db: of each of the 26 degradations in the order of the grid, true task vector.
        flops_by_m: (M, ratio) for M = 1 .. 27.
        flops_by_task: cost at levels 0.25 .. 1 of each slider alone, and of all three (`joint`).
        latency: one cell per image size and number of threads.
        speedup_27: time of 27 dense effects over the time of 27 effects, all cores, the last size of `latency`.
    """

    name: str
    variant: str
    trial: int | None
    psnr_db: float
    ssim: float
    psnr_best27_db: float | None
    ssim_best27: float | None
    best27_images: int
    niqe: float | None
    lpips: float | None
    flops_ratio_m1: float
    flops_ratio_m27: float
    gflops_hd_m1: float
    gflops_hd_m27: float
    shared_layers_pct: float
    parameters: int
    control: dict[str, float]
    gain_db: dict[str, float]
    evenness: dict[str, float]
    off_rms: float
    psnr_by_degradation_db: tuple[float, ...]
    flops_by_m: tuple[tuple[int, float], ...]
    flops_by_task: dict[str, tuple[TaskCost, ...]]
    latency: tuple[LatencyCell, ...]
    speedup_27: float


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The whole report in figures.

    Attributes:
        profile, machine: what was run, and where.
        input_psnr_db, dense_psnr_db: of the degraded test photos, and of the dense network's oracle outputs.
        input_best27_psnr_db: of the inputs that best of 27 was measured on.
        input_by_degradation_db: of each of the 26 degradations, as `psnr_by_degradation_db`.
        dense_valid_psnr_db: of the dense network on the validation photos, which the trials are scored on.
        hypervolume: of the finished trials' Pareto set, dB x share of the dense FLOPs saved, from the degraded
            validation photos' PSNR at the dense network's FLOPs.
        trials: how many ended how.
        dense: the super network, trained for as long as a pick altogether.
        picks: at least one.
        front: every finished trial.
        stages: seconds of each stage's last run, where they were recorded.
        search_cost: of all ended trials.
        schema: version of this format.

    Raises:
        ValueError: no pick, or `dense_psnr_db` differs from `dense.psnr_db`.
    """

    profile: Profile
    machine: Machine
    input_psnr_db: float
    dense_psnr_db: float
    dense_valid_psnr_db: float | None
    input_best27_psnr_db: float
    input_by_degradation_db: tuple[float, ...]
    hypervolume: float
    trials: TrialCounts
    dense: NetworkFigures
    picks: tuple[NetworkFigures, ...]
    front: tuple[TrialPoint, ...]
    stages: dict[str, float]
    search_cost: SearchCost | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not self.picks:
            raise ValueError("picks must hold at least one network")
        if math.isfinite(self.dense_psnr_db) and self.dense_psnr_db != self.dense.psnr_db:
            raise ValueError(f"dense_psnr_db is {self.dense_psnr_db}, dense.psnr_db {self.dense.psnr_db}")

    @property
    def networks(self) -> tuple[NetworkFigures, ...]:
        """Dense first, then the picks."""
        return (self.dense, *self.picks)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; what is not finite becomes null."""
        plain: dict[str, Any] = to_plain(self)
        return {"schema": plain.pop("schema"), **plain}

    @classmethod
    def from_json(cls, data: Any) -> Metrics:
        """What `to_json` wrote; null where a number is due becomes NaN.

        Raises:
            ValueError: another schema, a key is missing, or a value is of another type.
        """
        version = data.get("schema") if isinstance(data, dict) else None
        if version != SCHEMA:
            raise ValueError(f"schema must be {SCHEMA}, got {version!r}")
        metrics: Metrics = from_plain(cls, data)
        return metrics
