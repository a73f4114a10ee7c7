"""What a search's trials were and took, out of `search/trials.json`."""

from __future__ import annotations

from typing import Any

from pipeline.report.schema import SearchCost, TrialCounts, TrialPoint


def trial_points(trials: list[dict[str, Any]], selected: dict[str, Any]) -> tuple[TrialPoint, ...]:
    """The finished trials as the report shows them."""
    names: dict[int, list[str]] = {}
    for pick in selected["picks"]:
        names.setdefault(pick["trial"], []).append(pick["name"])
    return tuple(
        TrialPoint(
            number=trial["number"],
            variant=trial["variant"],
            lambda1=trial["lambda1"],
            lambda2=trial["lambda2"],
            gamma=trial["gamma"],
            psnr_db=trial["metrics"]["psnr_db"],
            flops_ratio_m1=trial["metrics"]["flops_ratio_m1"],
            flops_ratio_m27=trial["metrics"]["flops_ratio_m27"],
            shared_layers_pct=trial["metrics"]["shared_layers_pct"],
            pareto=trial["number"] in selected["pareto"],
            pick=", ".join(names[trial["number"]]) if trial["number"] in names else None,
            latency_ratio_m27=trial["metrics"].get("latency_ratio_m27"),
            seconds=trial["metrics"].get("seconds"),
            usd=trial["metrics"].get("usd"),
        )
        for trial in trials
        if trial["state"] == "finished"
    )


def trial_counts(trials: list[dict[str, Any]]) -> TrialCounts:
    """How many ended how."""
    states = [trial["state"] for trial in trials]
    return TrialCounts(
        finished=states.count("finished"), stopped=states.count("stopped"), failed=states.count("failed")
    )


def search_cost(trials: list[dict[str, Any]], under_way: list[dict[str, Any]]) -> SearchCost:
    """What all ended trials took, and what suspended ones had taken by their figures."""

    def total(name: str) -> float:
        return float(sum(trial["metrics"].get(name, 0.0) for trial in trials))

    return SearchCost(
        cpu_hours=total("cpu_seconds") / 3600,
        gpu_hours=total("gpu_seconds") / 3600,
        usd=total("usd"),
        under_way_usd=float(sum(one.get("usd", 0.0) for one in under_way)),
    )
