"""The front of accuracy and cost of finished trials: Optuna's Pareto set, its hypervolume, and picks by rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import create_trial

from pipeline.config import ControlLimits
from tatsnet.network.tasks import AXES

COSTS = {"flops": "flops_ratio_m27", "latency": "latency_ratio_m27"}
"""The figure of a trial that each of `search.objectives` minimises: at M = 27, as a share of dense."""


def constraint_key(name: str) -> str:
    """The system attribute of a trial that `Trial.set_constraint` writes: Optuna takes 0 and below as feasible."""
    return f"constraints:{name}"


def violations(figures: Mapping[str, Any], limits: ControlLimits) -> dict[str, float]:
    """By how much a trial's figures miss each constraint, the gain of each axis and `off_rms`; at most 0 holds it."""
    if "control" not in figures:  # of a study that measured movement alone
        return {**dict.fromkeys(AXES, math.inf), "off_rms": math.inf}
    gains = {axis: limits.gain - figures["control"][axis] for axis in AXES}
    return {**gains, "off_rms": figures["off_rms"] - limits.off_rms}


def disobedience(figures: Mapping[str, Any], limits: ControlLimits) -> str:
    """Why a network is infeasible, in words; empty where it holds every constraint."""
    if "control" not in figures:
        return "its control was not measured"
    missed = violations(figures, limits)
    said = [
        f"{axis} gains {figures['control'][axis]:.0%} of what the dense network's does, less than {limits.gain:.0%}"
        for axis in AXES
        if missed[axis] > 0
    ]
    if missed["off_rms"] > 0:
        said.append(f"all sliders at 0 change a photo by {figures['off_rms']:.2f} steps, more than {limits.off_rms:g}")
    return "; ".join(said)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A finished, healthy trial.

    Attributes:
        number: Optuna's.
        psnr_db: on the validation photos.
        costs: of the search's objectives, each as a share of dense; the rules act on the first.
        violations: of the constraints, see `violations`.
    """

    number: int
    psnr_db: float
    costs: tuple[float, ...]
    violations: Mapping[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether it holds every constraint."""
        return all(violation <= 0 for violation in self.violations.values())

    @property
    def cost(self) -> float:
        """The first of the costs."""
        return self.costs[0]


def pareto_set(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Optuna's Pareto set of the feasible ones (PSNR up, every cost down), by rising first cost."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    costs = len(candidates[0].costs) if candidates else 1
    study = optuna.create_study(directions=[StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * costs])
    for index, candidate in enumerate(candidates):
        values = [candidate.psnr_db, *candidate.costs]
        place: dict[str, BaseDistribution] = {"index": FloatDistribution(0, len(candidates))}
        trial = create_trial(values=values, params={"index": float(index)}, distributions=place)
        for name, violation in candidate.violations.items():
            trial.set_constraint(name, violation)
        study.add_trial(trial)
    best = [candidates[int(trial.params["index"])] for trial in study.best_trials]
    return sorted(best, key=lambda candidate: (candidate.cost, candidate.number))


def hypervolume(front: Sequence[Candidate], reference_psnr_db: float) -> float:
    """What the front dominates: dB x share of the dense cost saved, and so on for each further cost.

    The reference point is the degraded input's PSNR at the dense network's costs; points beyond it count nothing.
    With several costs, slabs along the last one are added up; Optuna's own volume is not public.
    """
    if not front or len(front[0].costs) == 1:
        return _area(front, reference_psnr_db)
    levels = sorted({c.costs[-1] for c in front if c.costs[-1] < 1.0})
    volume = 0.0
    for low, high in pairwise([*levels, 1.0]):
        slab = [replace(c, costs=c.costs[:-1]) for c in front if c.costs[-1] <= low]
        volume += (high - low) * hypervolume(slab, reference_psnr_db)
    return volume


def _area(front: Sequence[Candidate], reference_psnr_db: float) -> float:
    area, covered = 0.0, 1.0
    for point in sorted(front, key=lambda c: -c.psnr_db):
        if point.psnr_db <= reference_psnr_db or point.cost >= covered:
            continue
        area += (covered - point.cost) * (point.psnr_db - reference_psnr_db)
        covered = point.cost
    return area


def knee(front: Sequence[Candidate]) -> Candidate:
    """The point farthest above the chord between the front's ends, PSNR over cost, both scaled to [0, 1]."""
    ends = sorted(front, key=lambda c: c.cost)
    first, last = ends[0], ends[-1]
    wide = (last.cost - first.cost) or 1.0
    high = (last.psnr_db - first.psnr_db) or 1.0

    def above(c: Candidate) -> float:
        return (c.psnr_db - first.psnr_db) / high - (c.cost - first.cost) / wide

    return max(ends, key=above)


def best(front: Sequence[Candidate]) -> Candidate:
    """The highest PSNR."""
    return max(front, key=lambda c: c.psnr_db)


def under_budget(front: Sequence[Candidate], budget: float) -> Candidate:
    """The highest PSNR within a share of the dense cost; the cheapest one where none is."""
    within = [c for c in front if c.cost <= budget]
    return best(within) if within else min(front, key=lambda c: c.cost)


RULES: dict[str, Callable[[Sequence[Candidate]], Candidate]] = {"knee": knee, "best": best}
"""What `select.picks` may name; each takes a front that is not empty."""


def budget_name(budget: float) -> str:
    """Name of the pick within a share of the dense cost: 0.05 is `under-5`, 0.025 is `under-2_5`."""
    return f"under-{100 * budget:g}".replace(".", "_")
