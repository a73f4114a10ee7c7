"""The sections of `params.yaml` as frozen dataclasses; those of the library and of the sources are used as they are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from pipeline.sources.settings import DataConfig
from tatsnet.architecture import NetworkConfig
from tatsnet.settings import MethodConfig, Schedule, TrainConfig

Variant = Literal["TSNet", "TA+TSNet", "TSNet-m", "TA+TSNet-m"]
"""TA shares a prefix between the tasks (section 3.2); -m trains with relative ground truth (section 3.3)."""

Cost = Literal["flops", "latency"]
"""What is minimised beside the PSNR that is maximised, each at M = 27 as a share of the dense network's."""

Runtime = Literal["auto", "openvino", "onnxruntime", "torch"]

Pick = Literal["knee", "best"]

LEAST_SIDE, GREATEST_SIDE = 16, 16384


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _at_least(least: float, **values: float) -> None:
    for name, value in values.items():
        _require(math.isfinite(value) and value >= least, f"{name} must be at least {least}, got {value}")


def _positive(**values: float) -> None:
    for name, value in values.items():
        _require(math.isfinite(value) and value > 0, f"{name} must be above 0, got {value}")


def _each_once(name: str, values: tuple[str, ...]) -> None:
    _require(len(values) > 0, f"{name} must name at least one")
    _require(len(set(values)) == len(values), f"{name} names one twice: {', '.join(values)}")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How the fixed evaluation set is cut.

    Args:
        crop: side of a crop in pixels, at least 16; 0 takes whole photos.
        valid_crops, test_crops: crops in all, spread over the photos of the split; 0 takes one of every photo.
        seed: of the noise and of the places of the crops.
    """

    crop: int
    valid_crops: int
    test_crops: int
    seed: int

    def __post_init__(self) -> None:
        _require(
            self.crop == 0 or self.crop >= LEAST_SIDE,
            f"crop must be 0 (whole photos) or at least {LEAST_SIDE} pixels, got {self.crop}",
        )
        _at_least(0, valid_crops=self.valid_crops, test_crops=self.test_crops, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Training of the dense super network: `iterations` steps."""

    iterations: int

    def __post_init__(self) -> None:
        _at_least(1, iterations=self.iterations)


@dataclass(frozen=True, kw_only=True)
class Range:
    """A range that is sampled by its logarithm; equal ends fix the value, and only then it may be 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _at_least(0, low=self.low, high=self.high)
        _require(
            self.low <= self.high, f"low is above high ({self.low} > {self.high}): the range is upside down, swap them"
        )
        _require(self.low > 0 or self.high == 0, "low must be above 0 (the range is logarithmic), or both ends 0")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True)
class Space:
    """What the search samples.

    Args:
        lambda1: weight of R1, FLOPs as a share of the dense network's (eq. 11).
        lambda2: weight of R2, a mean over tasks and channels (eq. 11, 12).
        gamma: threshold of the consensus, in (0, 1) (eq. 8, 10).
    """

    lambda1: Range
    lambda2: Range
    gamma: Range

    def __post_init__(self) -> None:
        _require(
            0 < self.gamma.low and self.gamma.high < 1,
            f"gamma must lie between 0 and 1, got {self.gamma.low} to {self.gamma.high}",
        )


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A point of the space that is tried before any sampled one."""

    variant: Variant
    lambda1: float
    lambda2: float
    gamma: float


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the trials may use.

    Args:
        concurrent: trials at a time.
        cpus_per_trial: CPU cores of one trial, above 0.
        gpus_per_trial: share of a GPU, or GPUs, of one trial.
        max_failures: restarts of one trial after its worker died.
    """

    concurrent: int
    cpus_per_trial: float
    gpus_per_trial: float
    max_failures: int

    def __post_init__(self) -> None:
        _at_least(1, concurrent=self.concurrent)
        _positive(cpus_per_trial=self.cpus_per_trial)
        _at_least(0, gpus_per_trial=self.gpus_per_trial, max_failures=self.max_failures)


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """Which trials are stopped early.

    Args:
        rungs: shares of a trial's iterations, tenths, rising, at which it is compared with those that came as far
            before it; none stops nothing.
        keep: the share of them that goes on, in (0, 1].
    """

    rungs: tuple[float, ...]
    keep: float

    def __post_init__(self) -> None:
        for rung in self.rungs:
            tenth = math.isfinite(rung) and abs(10 * rung - round(10 * rung)) < 1e-9
            _require(tenth and 0 < rung < 1, f"rungs must be tenths between 0 and 1, got {rung}")
        _require(sorted(set(self.rungs)) == list(self.rungs), f"rungs must rise, got {self.rungs}")
        _require(0 < self.keep <= 1, f"keep must be a share, in (0, 1], got {self.keep}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a search puts its trials down and ends with what it has; null is no limit.

    Args:
        hours: of this run of the stage.
        usd: of all trials of the study, at the rates of the section `cost`.
    """

    hours: float | None
    usd: float | None

    def __post_init__(self) -> None:
        _positive(**{name: value for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """What the times of the layers are measured on; without effect where latency is no objective.

    Args:
        size: of the image, `WIDTHxHEIGHT` in pixels, both even.
        runtime: that runs the layers, on the CPU; auto is the fastest that is installed.
        threads: of the runtime.
    """

    size: str
    runtime: Runtime
    threads: int

    def __post_init__(self) -> None:
        width, height = parse_size(self.size, "size")
        _require(width % 2 == 0 == height % 2, f"size must have even sides, got {self.size!r}")
        _at_least(1, threads=self.threads)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        return parse_size(self.size, "size")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search: `trials` finished or stopped trials of `variants` over `space`, `suggestions` first.

    Args:
        objectives: the costs that are minimised beside PSNR: [flops], [latency] or [flops, latency].
    """

    variants: tuple[Variant, ...]
    objectives: tuple[Cost, ...]
    latency: LatencyConfig
    trials: int
    schedule: Schedule
    method: MethodConfig
    space: Space
    suggestions: tuple[Suggestion, ...]
    stopping: Stopping
    resources: Resources
    limits: Limits
    seed: int

    def __post_init__(self) -> None:
        _each_once("variants", self.variants)
        _each_once("objectives", self.objectives)
        order = tuple(sorted(self.objectives))
        _require(self.objectives == order, f"objectives must have flops first, got {', '.join(self.objectives)}")
        _at_least(1, trials=self.trials)
        _at_least(0, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Which of the Pareto set go on.

    Args:
        picks: rules, each at most once.
        budgets: FLOPs at M = 27 as shares of dense, in (0, 1]; each adds the best trial within it
            (0.05: `under-5`). Shares of the dense time where latency is the search's only cost.
        response: share of the dense network's movement that each slider of a pick should have, in [0, 1]; networks
            that fall short are picked only for a budget that no other one keeps.
    """

    picks: tuple[Pick, ...]
    budgets: tuple[float, ...]
    response: float

    def __post_init__(self) -> None:
        _each_once("picks", self.picks)
        _require(0 <= self.response <= 1, f"response must be a share, in [0, 1], got {self.response}")
        for budget in self.budgets:
            _require(0 < budget <= 1, f"budgets must be shares of the dense FLOPs, in (0, 1], got {budget}")
        _require(len(set(self.budgets)) == len(self.budgets), f"budgets names one twice: {self.budgets}")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Training of each pick with a frozen architecture: `iterations` steps, so many `processes` at a time."""

    iterations: int
    processes: int

    def __post_init__(self) -> None:
        _at_least(1, iterations=self.iterations, processes=self.processes)


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured at the end.

    Args:
        sizes: of the images whose latency is taken, `WIDTHxHEIGHT` in pixels.
        repeats: timed runs of each.
        best_of_27_crops: test crops scored by the best of 27 effects; 0 scores all of them so.
    """

    sizes: tuple[str, ...]
    repeats: int
    best_of_27_crops: int

    def __post_init__(self) -> None:
        _each_once("sizes", self.sizes)
        for size in self.sizes:
            parse_size(size)
        _at_least(1, repeats=self.repeats)
        _at_least(0, best_of_27_crops=self.best_of_27_crops)

    @property
    def pixels(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each of `sizes`."""
        return tuple(parse_size(size) for size in self.sizes)


def parse_size(text: str, key: str = "sizes") -> tuple[int, int]:
    """(width, height) of `WIDTHxHEIGHT`.

    Args:
        key: where it stands, for the message.

    Raises:
        ValueError: another form, or a side out of 16 .. 16384 pixels.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    _require(match is not None, f"{key} must read WIDTHxHEIGHT, as 1280x720, got {text!r}")
    assert match is not None
    width, height = int(match[1]), int(match[2])
    _require(
        LEAST_SIDE <= min(width, height) and max(width, height) <= GREATEST_SIDE,
        f"{key} must have sides of {LEAST_SIDE} to {GREATEST_SIDE} pixels, got {text!r}",
    )
    return width, height


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Names in MLflow: of the experiment, and of the registered model."""

    experiment: str
    model: str

    def __post_init__(self) -> None:
        for name in ("experiment", "model"):
            value = getattr(self, name)
            _require(
                bool(value.strip()) and not set(value) & set("/:'\"\\"),
                f"{name} must be a name without slash, colon or quotes, got {value!r}",
            )


@dataclass(frozen=True, kw_only=True)
class CostConfig:
    """What plan and search reckon with: sustained TFLOP/s of one GPU, dollars of a GPU-hour and of a core's hour."""

    gpu_tflops: float
    gpu_hour_usd: float
    cpu_hour_usd: float

    def __post_init__(self) -> None:
        _positive(gpu_tflops=self.gpu_tflops)
        _at_least(0, gpu_hour_usd=self.gpu_hour_usd, cpu_hour_usd=self.cpu_hour_usd)


@dataclass(frozen=True, kw_only=True)
class Params:
    """The whole of `params.yaml`, in the order of the file."""

    data: DataConfig
    eval: EvalConfig
    network: NetworkConfig
    train: TrainConfig
    pretrain: PretrainConfig
    search: SearchConfig
    select: SelectConfig
    finetune: FinetuneConfig
    benchmark: BenchmarkConfig
    tracking: TrackingConfig
    cost: CostConfig
