"""Stage select: the Pareto set of the finished trials, its hypervolume, and the picks."""

from __future__ import annotations

from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json
from pipeline.common.layout import SELECTED_FILE, TRIALS_FILE
from pipeline.common.progress import say
from pipeline.config import SelectConfig
from pipeline.search.study.pareto import COSTS, RULES, Candidate, budget_name, hypervolume, pareto_set, under_budget
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import last_run_id, mark_pareto, pareto_view
from pipeline.tracking.keys import TRIAL_STAGE
from tatsnet.quality.evaluation import DEAD_RANGE

UNITS = {"flops": "FLOPs", "latency": "time"}
"""What the first objective is called on the terminal."""


def weakest_slider(found: dict[str, Any], dense: dict[str, Any]) -> float:
    """How far the output follows a network's weakest slider, as a share of the dense network's."""
    return min(found[axis]["range"] / max(dense[axis]["range"], DEAD_RANGE) for axis in found)


def candidates(trials: list[dict[str, Any]], dense: dict[str, Any], objectives: list[str]) -> list[Candidate]:
    """The trials that may be picked: finished and healthy.

    Args:
        dense: the dense network's response to each slider.
        objectives: the costs that the search minimised.
    """
    return [
        Candidate(
            number=trial["number"],
            psnr_db=trial["metrics"]["psnr_db"],
            costs=tuple(trial["metrics"][COSTS[cost]] for cost in objectives),
            response=weakest_slider(trial["metrics"]["response"], dense),
        )
        for trial in trials
        if trial["state"] == "finished"
    ]


def choose(config: SelectConfig, usable: list[Candidate], unit: str = "FLOPs") -> list[tuple[str, Candidate]]:
    """The picks of the candidates, by name; those whose sliders all answer come first.

    Args:
        unit: of the first cost, for the terminal.
    """
    everybody = pareto_set(usable)
    answering = pareto_set([c for c in usable if c.response >= config.response]) or everybody
    picks: list[tuple[str, Candidate]] = [(rule, RULES[rule](answering)) for rule in config.picks]
    for budget in config.budgets:
        cheap = under_budget(answering, budget)
        if cheap.cost > budget:
            cheap = under_budget(everybody, budget)
        if cheap.cost > budget:
            say(f"select  WARNING no trial within {budget:.0%} of the dense {unit}: the cheapest is taken")
        picks.append((budget_name(budget), cheap))
    return picks


def show_in_tracker(context: Context, front: set[int], objectives: list[str]) -> None:
    """Tag each trial's run with `pareto`, and make the ready-made view of them."""
    parent = last_run_id(context.root, "search")
    runs = context.tracker.find({"stage": TRIAL_STAGE, "mlflow.parentRunId": parent}) if parent else []
    trials = [run for run in runs if "number" in run.tags]
    mark_pareto(context.tracker, trials, {run.id for run in trials if int(run.tags["number"]) in front})
    pareto_view(context.tracker, parent, [COSTS[cost] for cost in objectives])


def work(context: Context) -> None:
    """Write `search/selected.json`."""
    data = read_json(context.root / TRIALS_FILE, "run the stage again: dvc repro --force search")
    objectives = data.get("objectives", ["flops"])
    unit = UNITS[objectives[0]]
    usable = candidates(data["trials"], data["dense"]["response"], objectives)
    if not usable:
        raise UserError(
            f"{TRIALS_FILE} holds no finished trial: look at the reasons there, then dvc repro --force search"
        )
    front = pareto_set(usable)
    variants = {trial["number"]: trial["variant"] for trial in data["trials"]}
    picks = []
    for name, chosen in choose(context.params.select, usable, unit):
        picks.append({"name": name, "trial": chosen.number, "variant": variants[chosen.number]})
        say(f"select  {name}: trial {chosen.number}, {chosen.psnr_db:.2f} dB at {chosen.cost:.1%} of the dense {unit}")
        if chosen.response < context.params.select.response:
            say(f"select  WARNING {name}: its weakest slider moves {chosen.response:.1%} of what the dense one's does")
    volume = hypervolume(front, data["dense"]["input_psnr_db"])
    numbers = [candidate.number for candidate in front]
    atomic_write_json(
        context.root / SELECTED_FILE,
        {"schema": 1, "pareto": numbers, "hypervolume": volume, "picks": picks},
    )
    context.run.metrics({"hypervolume": volume, "front": len(front)})
    context.run.artifact(context.root / SELECTED_FILE)
    show_in_tracker(context, set(numbers), objectives)
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
