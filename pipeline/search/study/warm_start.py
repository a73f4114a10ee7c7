"""A warm start from an earlier study: its best points, as the first that another one tries.

Only points travel. Figures of other photos or a shorter training would mislead the sampler; where good trade-offs lie
in lambda1, lambda2 and gamma holds well enough to begin there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.common.errors import UserError
from pipeline.config import SearchConfig, Suggestion
from pipeline.search.study.mo_asha import ranking
from pipeline.search.study.pareto import COSTS

NAMES = ("lambda1", "lambda2", "gamma")


def best_points(study: Any, config: SearchConfig, count: int) -> list[Suggestion]:
    """The best finished trials of a study that lie in a search's space, front by front and spread over each.

    Args:
        study: the JSON that a search has written into `search/trials.json`.
        config: the search that is to begin with them.
        count: so many at the most.

    Raises:
        UserError: no study, no finished trial, or none of them in the space.
    """
    if count < 1:
        raise UserError(f"--points must be at least 1, got {count}")
    if not isinstance(study, Mapping) or "trials" not in study:
        raise UserError("that file holds no trials: name the search/trials.json that a search has written")
    objectives = study.get("objectives", ["flops"])
    finished = [trial for trial in study["trials"] if trial["state"] == "finished"]
    if not finished:
        raise UserError("no trial of that study has finished: there is nothing to begin with")
    scores = [[-row["metrics"]["psnr_db"], *(row["metrics"][COSTS[cost]] for cost in objectives)] for row in finished]
    points = [_suggestion(finished[row], config) for row in ranking(scores)]
    usable = list(dict.fromkeys(point for point in points if _fits(point, config)))
    if not usable:
        raise UserError(
            "none of that study's finished trials lies in search.space of search.variants: widen the space, "
            "or keep the suggestions as they are"
        )
    return usable[:count]


def _suggestion(trial: Mapping[str, Any], config: SearchConfig) -> Suggestion:
    # What shares nothing has no lambda2; a suggestion names one all the same, and it is never used.
    lambda2 = trial["lambda2"] or config.space.lambda2.low
    return Suggestion(variant=trial["variant"], lambda1=trial["lambda1"], lambda2=lambda2, gamma=trial["gamma"])


def _fits(point: Suggestion, config: SearchConfig) -> bool:
    inside = all(getattr(point, name) in getattr(config.space, name) for name in NAMES)
    return point.variant in config.variants and inside
