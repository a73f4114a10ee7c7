"""What a search samples: a variant and its lambda1, lambda2, gamma (paper eq. 8, 10, 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna

from pipeline.config import Range, SearchConfig, Space
from tatsnet.method.objective import Objective, Variant

NO_CONSENSUS_GAMMA = 0.9
"""TSNet has no consensus to reach; its gamma is the paper's and is never used."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of the search space; TSNet variants have lambda2 = 0 (section 7.3)."""

    variant: str
    lambda1: float
    lambda2: float
    gamma: float

    def objective(self) -> Objective:
        """The training objective of this point."""
        return Objective(variant=Variant(self.variant), lambda1=self.lambda1, lambda2=self.lambda2, gamma=self.gamma)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def sample(trial: optuna.Trial, space: Space, variants: Sequence[str]) -> Point:
    """Draw a point; lambda2 and gamma exist only for variants that share."""
    variant = variants[0] if len(variants) == 1 else trial.suggest_categorical("variant", list(variants))
    lambda1 = _draw(trial, "lambda1", space.lambda1)
    if not Variant(variant).shares:
        return Point(variant=variant, lambda1=lambda1, lambda2=0.0, gamma=NO_CONSENSUS_GAMMA)
    lambda2, gamma = _draw(trial, "lambda2", space.lambda2), _draw(trial, "gamma", space.gamma)
    return Point(variant=variant, lambda1=lambda1, lambda2=lambda2, gamma=gamma)


def _draw(trial: optuna.Trial, name: str, bounds: Range) -> float:
    if bounds.low == bounds.high:
        return bounds.low
    return trial.suggest_float(name, bounds.low, bounds.high, log=True)


def first_points(config: SearchConfig) -> list[dict[str, Any]]:
    """The suggestions of the parameters, as Optuna takes them."""
    names = ("lambda1", "lambda2", "gamma")
    points = []
    for suggestion in config.suggestions:
        shares = Variant(suggestion.variant).shares
        point: dict[str, Any] = {"variant": suggestion.variant} if len(config.variants) > 1 else {}
        free = [n for n in names if getattr(config.space, n).low < getattr(config.space, n).high]
        point |= {n: getattr(suggestion, n) for n in free if shares or n == "lambda1"}
        points.append(point)
    return points
