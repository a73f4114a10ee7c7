"""Stage select: the Pareto set of the finished trials, its hypervolume, and the picks."""

from __future__ import annotations

from typing import Any

from pipeline.artifacts import atomic_write_json, read_json
from pipeline.errors import UserError
from pipeline.layout import SELECTED_FILE, TRIALS_FILE
from pipeline.progress import say
from pipeline.search.pareto import Candidate, hypervolume, pareto_set, pick
from pipeline.stage import Context, Stage, main
from pipeline.tracking import last_run_id, mark_pareto, pareto_view
from pipeline.tracking.keys import TRIAL_STAGE


def candidates(trials: list[dict[str, Any]]) -> list[Candidate]:
    """The trials that may be picked: finished and healthy."""
    return [
        Candidate(
            number=trial["number"],
            psnr_db=trial["metrics"]["psnr_db"],
            flops_ratio=trial["metrics"]["flops_ratio_m27"],
        )
        for trial in trials
        if trial["state"] == "finished"
    ]


def show_in_tracker(context: Context, front: set[int]) -> None:
    """Tag each trial's run with `pareto`, and make the ready-made view of them."""
    parent = last_run_id(context.root, "search")
    runs = context.tracker.find({"stage": TRIAL_STAGE, "mlflow.parentRunId": parent}) if parent else []
    mark_pareto(context.tracker, {run.id: int(run.params["number"]) in front for run in runs if "number" in run.params})
    pareto_view(context.tracker, parent)


def work(context: Context) -> None:
    """Write `search/selected.json`."""
    data = read_json(context.root / TRIALS_FILE, "run the stage again: dvc repro --force search")
    usable = candidates(data["trials"])
    if not usable:
        raise UserError(
            f"{TRIALS_FILE} holds no finished trial: look at the reasons there, then dvc repro --force search"
        )
    config = context.params.select
    front = pareto_set(usable)
    variants = {trial["number"]: trial["variant"] for trial in data["trials"]}
    picks = []
    for rule in config.picks:
        chosen = pick(rule, front, config.budget)
        if rule == "budget" and chosen.flops_ratio > config.budget:
            say(f"select  WARNING no trial within {config.budget:.0%} of the dense FLOPs; the cheapest is taken")
        picks.append({"name": rule, "trial": chosen.number, "variant": variants[chosen.number]})
        say(f"select  {rule}: trial {chosen.number}, {chosen.psnr_db:.2f} dB at {chosen.flops_ratio:.1%} of dense")
    volume = hypervolume(front, data["dense"]["input_psnr_db"])
    numbers = [candidate.number for candidate in front]
    atomic_write_json(
        context.root / SELECTED_FILE,
        {"schema": 1, "pareto": numbers, "hypervolume": volume, "picks": picks},
    )
    context.run.metrics({"hypervolume": volume, "front": len(front)})
    context.run.artifact(context.root / SELECTED_FILE)
    show_in_tracker(context, set(numbers))
    say(f"select  {len(front)} of {len(usable)} trials on the front, hypervolume {volume:.3f}")


STAGE = Stage(
    name="select",
    summary="takes the Pareto set and picks networks by rule",
    upstream=("search",),
    sections=lambda params: {"select": params.select},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
