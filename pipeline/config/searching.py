"""The section `search` and what stands within it, as frozen dataclasses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.config.checks import at_least, each_once, parse_size, positive, require
from tatsnet.method.settings import MethodConfig, Schedule

Variant = Literal["TSNet", "TA+TSNet", "TSNet-m", "TA+TSNet-m"]
"""TA shares a prefix between the tasks (section 3.2); -m trains with relative ground truth (section 3.3)."""

Cost = Literal["flops", "latency"]
"""What is minimised beside the PSNR that is maximised, each at M = 27 as a share of the dense network's."""

Runtime = Literal["auto", "numba", "openvino", "onnxruntime", "torch"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A range that is sampled by its logarithm; equal ends fix the value, and only then it may be 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        at_least(0, low=self.low, high=self.high)
        require(
            self.low <= self.high, f"low is above high ({self.low} > {self.high}): the range is upside down, swap them"
        )
        require(self.low > 0 or self.high == 0, "low must be above 0 (the range is logarithmic), or both ends 0")

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
        require(
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
        at_least(1, concurrent=self.concurrent)
        positive(cpus_per_trial=self.cpus_per_trial)
        at_least(0, gpus_per_trial=self.gpus_per_trial, max_failures=self.max_failures)


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
            require(tenth and 0 < rung < 1, f"rungs must be tenths between 0 and 1, got {rung}")
        require(sorted(set(self.rungs)) == list(self.rungs), f"rungs must rise, got {self.rungs}")
        require(0 < self.keep <= 1, f"keep must be a share, in (0, 1], got {self.keep}")


@dataclass(frozen=True, kw_only=True)
class ControlLimits:
    """What a network must do to be feasible: on the front, and picked. It obeys its sliders.

    Args:
        gain: least share of the dense network's gain on each axis, at most 1; a large negative number asks for none.
        off_rms: most that all sliders at 0 may change a photo: RMS in 8-bit steps, at least 0.
    """

    gain: float
    off_rms: float

    def __post_init__(self) -> None:
        require(math.isfinite(self.gain) and self.gain <= 1, f"gain must be a share, at most 1, got {self.gain}")
        require(math.isfinite(self.off_rms) and self.off_rms >= 0, f"off_rms must be at least 0, got {self.off_rms}")


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
        positive(**{name: value for name, value in vars(self).items() if value is not None})


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
        require(width % 2 == 0 == height % 2, f"size must have even sides, got {self.size!r}")
        at_least(1, threads=self.threads)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        return parse_size(self.size, "size")


SamplerName = Literal["auto", "tpe", "gp", "random"]


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search: `trials` finished or stopped trials of `variants` over `space`, `suggestions` first.

    Args:
        objectives: the costs that are minimised beside PSNR: [flops], [latency] or [flops, latency].
        sampler: draws the points after the suggestions; `auto` is TPE.
    """

    variants: tuple[Variant, ...]
    objectives: tuple[Cost, ...]
    latency: LatencyConfig
    trials: int
    sampler: SamplerName
    schedule: Schedule
    method: MethodConfig
    space: Space
    suggestions: tuple[Suggestion, ...]
    control: ControlLimits
    stopping: Stopping
    resources: Resources
    limits: Limits
    seed: int

    def __post_init__(self) -> None:
        each_once("variants", self.variants)
        each_once("objectives", self.objectives)
        order = tuple(sorted(self.objectives))
        require(self.objectives == order, f"objectives must have flops first, got {', '.join(self.objectives)}")
        at_least(1, trials=self.trials)
        at_least(0, seed=self.seed)
