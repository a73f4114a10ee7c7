"""Stage select: the Pareto set of the finished trials, its hypervolume, and the picks."""

from __future__ import annotations

from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json
from pipeline.common.layout import SELECTED_FILE, STATE, TRIALS_FILE
from pipeline.common.progress import say
from pipeline.config import ControlLimits, SelectConfig
from pipeline.search.driver.live import front_of, keep_page, other_fronts
from pipeline.search.study.front_view import candidate_of, search_of
from pipeline.search.study.pareto import (
    COSTS,
    RULES,
    Candidate,
    budget_name,
    disobedience,
    hypervolume,
    pareto_set,
    under_budget,
)
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import FRONT_PAGE, last_run_id, mark_pareto, pareto_view
from pipeline.tracking.keys import TRIAL_STAGE

UNITS = {"flops": "FLOPs", "latency": "time"}
"""What the first objective is called on the terminal."""


def choose(config: SelectConfig, front: list[Candidate], unit: str = "FLOPs") -> list[tuple[str, Candidate]]:
    """The picks of a front, by name.

    Args:
        front: feasible trials, at least one.
        unit: of the first cost, for the terminal.
    """
    picks: list[tuple[str, Candidate]] = [(rule, RULES[rule](front)) for rule in config.picks]
    for budget in config.budgets:
        cheap = under_budget(front, budget)
        if cheap.cost > budget:
            say(
                f"select  WARNING no trial that obeys its sliders is within {budget:.0%} of the dense {unit}: "
                "the cheapest is taken"
            )
        picks.append((budget_name(budget), cheap))
    return picks


def nobody_obeys(usable: list[Candidate], data: dict[str, Any]) -> str:
    """What to say when no finished trial is feasible: the one that misses least, and what to do."""
    least = min(usable, key=lambda candidate: max(candidate.violations.values()))
    figures = next(trial["metrics"] for trial in data["trials"] if trial["number"] == least.number)
    return (
        f"none of {len(usable)} finished trials obeys its sliders (search.control in params.yaml). The nearest is "
        f"trial {least.number}: {disobedience(figures, ControlLimits(**data['control']))}. Search with smaller lambda1 "
        "or lambda2, with more search.method.specific_points or more trials, or lower search.control"
    )


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
        limits=ControlLimits(**data["control"]),
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
    limits = ControlLimits(**data["control"])
    rows = (candidate_of(trial, objectives, limits) for trial in data["trials"])
    usable = [candidate for candidate in rows if candidate]
    if not usable:
        raise UserError(
            f"{TRIALS_FILE} holds no finished trial: look at the reasons there, then dvc repro --force search"
        )
    front = pareto_set(usable)
    if not front:
        raise UserError(nobody_obeys(usable, data))
    variants = {trial["number"]: trial["variant"] for trial in data["trials"]}
    picks = []
    for name, chosen in choose(context.params.select, front, unit):
        picks.append({"name": name, "trial": chosen.number, "variant": variants[chosen.number]})
        say(f"select  {name}: trial {chosen.number}, {chosen.psnr_db:.2f} dB at {chosen.cost:.1%} of the dense {unit}")
    volume = hypervolume(front, data["dense"]["input_psnr_db"])
    numbers = [candidate.number for candidate in front]
    atomic_write_json(
        context.root / SELECTED_FILE,
        {"schema": 1, "pareto": numbers, "hypervolume": volume, "picks": picks},
    )
    feasible = sum(candidate.feasible for candidate in usable)
    context.run.metrics({"hypervolume": volume, "front": len(front), "feasible": feasible})
    context.run.artifact(context.root / SELECTED_FILE)
    said = f"{feasible} of {len(usable)} trials obey, {len(front)} on the front, hypervolume {volume:.3f}"
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
