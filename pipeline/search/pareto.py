"""The accuracy-FLOPs front of finished trials: Optuna's Pareto set, its hypervolume, and picks by rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import create_trial


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A finished, healthy trial.

    Attributes:
        number: Optuna's.
        psnr_db: on the validation photos.
        flops_ratio: FLOPs at M = 27 as a share of dense.
        response: of its weakest slider, as a share of the dense network's.
    """

    number: int
    psnr_db: float
    flops_ratio: float
    response: float = 1.0


def pareto_set(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Optuna's Pareto set (PSNR up, FLOPs down), by rising FLOPs."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    for index, candidate in enumerate(candidates):
        values = [candidate.psnr_db, candidate.flops_ratio]
        place: dict[str, BaseDistribution] = {"index": FloatDistribution(0, len(candidates))}
        study.add_trial(create_trial(values=values, params={"index": float(index)}, distributions=place))
    best = [candidates[int(trial.params["index"])] for trial in study.best_trials]
    return sorted(best, key=lambda candidate: (candidate.flops_ratio, candidate.number))


def hypervolume(front: Sequence[Candidate], reference_psnr_db: float) -> float:
    """Area that the front dominates, dB x share of the dense FLOPs saved.

    The reference point is the degraded input's PSNR at the dense network's FLOPs; points beyond it count nothing.
    """
    area, covered = 0.0, 1.0
    for point in sorted(front, key=lambda c: -c.psnr_db):
        if point.psnr_db <= reference_psnr_db or point.flops_ratio >= covered:
            continue
        area += (covered - point.flops_ratio) * (point.psnr_db - reference_psnr_db)
        covered = point.flops_ratio
    return area


def knee(front: Sequence[Candidate]) -> Candidate:
    """The point farthest above the chord between the front's ends, PSNR over FLOPs, both scaled to [0, 1]."""
    ends = sorted(front, key=lambda c: c.flops_ratio)
    first, last = ends[0], ends[-1]
    wide = (last.flops_ratio - first.flops_ratio) or 1.0
    high = (last.psnr_db - first.psnr_db) or 1.0

    def above(c: Candidate) -> float:
        return (c.psnr_db - first.psnr_db) / high - (c.flops_ratio - first.flops_ratio) / wide

    return max(ends, key=above)


def best(front: Sequence[Candidate]) -> Candidate:
    """The highest PSNR."""
    return max(front, key=lambda c: c.psnr_db)


def under_budget(front: Sequence[Candidate], budget: float) -> Candidate:
    """The highest PSNR within a share of the dense FLOPs; the cheapest one where none is."""
    within = [c for c in front if c.flops_ratio <= budget]
    return best(within) if within else min(front, key=lambda c: c.flops_ratio)


RULES: dict[str, Callable[[Sequence[Candidate]], Candidate]] = {"knee": knee, "best": best}
"""What `select.picks` may name; each takes a front that is not empty."""


def budget_name(budget: float) -> str:
    """Name of the pick within a share of the dense FLOPs: 0.05 is `under-5`, 0.025 is `under-2_5`."""
    return f"under-{100 * budget:g}".replace(".", "_")
