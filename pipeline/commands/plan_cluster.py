"""What a profile takes by the clock on several GPUs: waves of trials, fine-tunings side by side, the critical path."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from pipeline.commands.plan import Plan, StagePlan
from pipeline.config import Params, Stopping

RESTART_HOURS = 0.1
"""From an interruption to the first new iteration on another machine: it starts, compiles, and reads its checkpoint."""

LOST_SHARE = 0.05
"""Of a trial, by an interruption in the mean: half of what lies between two of its ten checkpoints."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Rates that were measured on a GPU, in bfloat16: docs/performance.md.

    Attributes:
        tflops: of the dense network's training, by the FLOPs of this plan, 1e12 a second.
        search_share: an iteration of a search takes 1 / so much of the time of a dense one.
    """

    tflops: float
    search_share: float


CARDS = {"h100": Card(tflops=122.0, search_share=90 / 127)}


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A profile on so many GPUs.

    Attributes:
        gpus: that work at the same time, at the most.
        card: whose measured rates are taken; None: `cost.gpu_tflops`.
        hours: of wall clock, by stage.
        critical_hours: that no number of GPUs makes fewer: pretrain, one trial, the longest fine-tuning, benchmark.
        trained_share: of the search's iterations that early stopping is expected to leave.
        gpu_hours: of all GPUs together, work that interruptions undo among them.
        usd: at `cost.gpu_hour_usd`.
        concurrent: `search.resources.concurrent` that keeps all GPUs busy, where the profile's is smaller.
    """

    gpus: int
    card: str | None
    hours: dict[str, float]
    critical_hours: float
    trained_share: float
    gpu_hours: float
    usd: float
    concurrent: int | None

    @property
    def wall_hours(self) -> float:
        """From the first stage to the last."""
        return sum(self.hours.values())

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"wall_hours": self.wall_hours}


def by_the_clock(plan: Plan, params: Params, gpus: int, card: str | None, interruptions: float) -> Clock:
    """What the plan takes on so many GPUs, each with one training at a time.

    Args:
        card: a name in CARDS.
        interruptions: of one GPU, per hour: those of a spot market.
    """
    rates = CARDS[card] if card else Card(tflops=plan.gpu_tflops, search_share=1.0)
    stages = {stage.stage: stage for stage in plan.stages}
    share = trained_share(params.search.stopping)

    def hours(stage: StagePlan, rate: float = 1.0, part: float = 1.0) -> float:
        return (stage.training_flops * part / rate + stage.evaluation_flops) / (rates.tflops * 1e12) / 3600

    pretrain, benchmark = hours(stages["pretrain"]), hours(stages["benchmark"])
    per_trial = hours(stages["search"], rates.search_share) / params.search.trials
    mean_trial = hours(stages["search"], rates.search_share, share) / params.search.trials
    tune = hours(stages["finetune"]) / stages["finetune"].iterations
    picks = stages["finetune"].runs - 1
    trainings = [tune * (params.search.schedule.iterations + params.finetune.iterations)]
    trainings += [tune * params.finetune.iterations] * picks
    lost = 1 + interruptions * (RESTART_HOURS + LOST_SHARE * per_trial)
    slots = min(gpus, params.search.trials)
    wall = {
        "pretrain": pretrain * lost,
        "search": max(per_trial, mean_trial * math.ceil(params.search.trials / slots)) * lost,
        "finetune": makespan(trainings, gpus) * lost,
        "benchmark": benchmark,
    }
    work = (pretrain + mean_trial * params.search.trials + sum(trainings)) * lost + benchmark
    share_of_gpu = params.search.resources.gpus_per_trial or 1.0
    needed = math.ceil(slots / min(1.0, share_of_gpu))
    return Clock(
        gpus=gpus,
        card=card,
        hours=wall,
        critical_hours=(pretrain + per_trial + trainings[0]) * lost + benchmark,
        trained_share=share,
        gpu_hours=work,
        usd=work * plan.gpu_hour_usd,
        concurrent=needed if needed > params.search.resources.concurrent else None,
    )


def trained_share(stopping: Stopping) -> float:
    """Share of the search's iterations that is trained, if at each rung the share `keep` of the trials goes on."""
    stretches = pairwise([0.0, *stopping.rungs, 1.0])
    return sum(stopping.keep**index * (end - start) for index, (start, end) in enumerate(stretches))


def makespan(hours: Iterable[float], workers: int) -> float:
    """Until the last piece of work is done, each taken in turn by whoever is free, the longest first."""
    busy = [0.0] * workers
    for piece in sorted(hours, reverse=True):
        heapq.heappush(busy, heapq.heappop(busy) + piece)
    return max(busy)


def render_clock(clock: Clock) -> str:
    """For a terminal."""
    rate = f" at the rate measured on an {clock.card.upper()}" if clock.card else ""
    stages = ", ".join(f"{stage} {hours:.3g} h" for stage, hours in clock.hours.items())
    lines = [
        f"On {clock.gpus} GPUs{rate}: {clock.wall_hours:.3g} h by the clock ({stages}).",
        f"At least {clock.critical_hours:.3g} h on any number: pretrain, one trial, the dense baseline, benchmark.",
        f"{clock.gpu_hours:,.3g} GPU-hours, about ${clock.usd:,.2f}.",
    ]
    if clock.trained_share < 1:
        lines.append(f"Early stopping is expected to leave {clock.trained_share:.0%} of the search's iterations.")
    if clock.concurrent:
        lines.append(f"Set search.resources.concurrent to {clock.concurrent}, or some of the GPUs stand idle.")
    return "\n".join(lines)
