"""The sections of `params.yaml` as frozen dataclasses; those of the library and of the sources are used as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.config.checks import LEAST_SIDE, at_least, each_once, parse_size, positive, require
from pipeline.config.searching import SearchConfig
from pipeline.sources.settings import DataConfig
from tatsnet.method.settings import TrainConfig
from tatsnet.network.architecture import NetworkConfig

Pick = Literal["knee", "best"]


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
        require(
            self.crop == 0 or self.crop >= LEAST_SIDE,
            f"crop must be 0 (whole photos) or at least {LEAST_SIDE} pixels, got {self.crop}",
        )
        at_least(0, valid_crops=self.valid_crops, test_crops=self.test_crops, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Training of the dense super network: `iterations` steps."""

    iterations: int

    def __post_init__(self) -> None:
        at_least(1, iterations=self.iterations)


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Which of the Pareto set go on.

    Args:
        picks: rules, each at most once.
        budgets: FLOPs at M = 27 as shares of dense, in (0, 1]; each adds the best trial within it
            (0.05: `under-5`). Shares of the dense time where latency is the search's only cost.
    """

    picks: tuple[Pick, ...]
    budgets: tuple[float, ...]

    def __post_init__(self) -> None:
        each_once("picks", self.picks)
        for budget in self.budgets:
            require(0 < budget <= 1, f"budgets must be shares of the dense FLOPs, in (0, 1], got {budget}")
        require(len(set(self.budgets)) == len(self.budgets), f"budgets names one twice: {self.budgets}")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Training of each pick with a frozen architecture: `iterations` steps, so many `processes` at a time."""

    iterations: int
    processes: int

    def __post_init__(self) -> None:
        at_least(1, iterations=self.iterations, processes=self.processes)


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
        each_once("sizes", self.sizes)
        for size in self.sizes:
            parse_size(size)
        at_least(1, repeats=self.repeats)
        at_least(0, best_of_27_crops=self.best_of_27_crops)

    @property
    def pixels(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each of `sizes`."""
        return tuple(parse_size(size) for size in self.sizes)


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Names in MLflow: of the experiment, and of the registered model."""

    experiment: str
    model: str

    def __post_init__(self) -> None:
        for name in ("experiment", "model"):
            value = getattr(self, name)
            require(
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
        positive(gpu_tflops=self.gpu_tflops)
        at_least(0, gpu_hour_usd=self.gpu_hour_usd, cpu_hour_usd=self.cpu_hour_usd)


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
