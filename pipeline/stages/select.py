"""Stage select: the Pareto set of the finished trials, its hypervolume, and the picks."""

from __future__ import annotations

from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json
from pipeline.common.layout import SELECTED_FILE, STATE, TRIALS_FILE
from pipeline.common.progress import say
from pipeline.config import SelectConfig
from pipeline.search.driver.live import front_of, keep_page, other_fronts
from pipeline.search.study.front_view import search_of
from pipeline.search.study.pareto import COSTS, RULES, Candidate, budget_name, hypervolume, pareto_set, under_budget
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import FRONT_PAGE, last_run_id, mark_pareto, pareto_view
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


def show_in_tracker(
    context: Context, data: dict[str, Any], front: list[int], picks: list[dict[str, Any]], status: str
) -> None:
    """Tag each trial's run with `pareto`, name the picks on the search's page, and make MLflow's own view of them."""
    parent = last_run_id(context.root, "search")
    runs = context.tracker.find({"stage": TRIAL_STAGE, "mlflow.parentRunId": parent}) if parent else []
    trials = {int(run.tags["number"]): run for run in runs if "number" in run.tags}
    if not parent or not trials:
        return
    objectives, dense = data.get("objectives", ["flops"]), data["dense"]
    mark_pareto(context.tracker, trials.values(), {run.id for number, run in trials.items() if number in front})
    pareto_view(context.tracker, parent, [COSTS[cost] for cost in objectives])
    names: dict[int, str] = {}
    for pick in picks:
        names[pick["trial"]] = ", ".join([*([names[pick["trial"]]] if pick["trial"] in names else []), pick["name"]])
    search = search_of(
        data["trials"],
        front,
        study=data["study"],
        run_id=parent,
        dense={axis: answer["range"] for axis, answer in dense["response"].items()},
        cost=COSTS[objectives[0]],
        runs={number: run.id for number, run in trials.items()},
        picks=names,
    )
    shown = front_of(context.tracker, search, objectives, dense, status, False, other_fronts(context.tracker, parent))
    keep_page(context.tracker, context.tracker.run(parent), shown, context.root / STATE / FRONT_PAGE)


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
    said = f"{len(front)} of {len(usable)} trials on the front, hypervolume {volume:.3f}"
    show_in_tracker(context, data, numbers, picks, said)
    say(f"select  {said}")


STAGE = Stage(
    name="select",
    summary="takes the Pareto set and picks networks by rule",
    upstream=("search",),
    sections=lambda params: {"select": params.select},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
