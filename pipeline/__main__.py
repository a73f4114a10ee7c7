"""`python -m pipeline`: what stands around the stages. The stages themselves are run by `dvc repro`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.common.told import told


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status of `told`."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if arguments.run is _ui:
        arguments.rest = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return told("", lambda: int(arguments.run(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Around the pipeline: `dvc repro` runs it.",
        epilog="Example: python -m pipeline plan",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    plan = _add(
        commands,
        "plan",
        "say what a profile will cost, running nothing",
        "plan --params profiles/paper.yaml --gpus 8 --card h100",
    )
    plan.add_argument("--params", type=Path, default=Path("params.yaml"), help="the profile (default: %(default)s)")
    plan.add_argument("--gpus", type=int, metavar="N", help="also what it takes by the clock on so many GPUs")
    plan.add_argument("--card", choices=("h100",), help="whose measured rate is taken (default: cost.gpu_tflops)")
    plan.add_argument(
        "--interruptions", type=float, default=0.0, metavar="P", help="of one spot GPU per hour (default: none)"
    )
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.set_defaults(run=_plan)

    warm = _add(
        commands,
        "warm-start",
        "put the best points of an earlier search into params.yaml, to be tried first",
        "warm-start ../earlier/search/trials.json --points 4",
    )
    warm.add_argument("trials", type=Path, help="that search's trials.json; its MLflow run has it as an artifact too")
    warm.add_argument("--points", type=int, default=4, help="so many at the most (default: %(default)s)")
    warm.set_defaults(run=_warm_start)

    worker = _add(
        commands,
        "worker",
        "train trials of the search beside other workers, without Ray: a Slurm array, or a GPU box and a laptop",
        "worker",
    )
    worker.set_defaults(run=_worker)

    pick = _add(
        commands,
        "pick",
        "fine-tune, extract, prove, measure and register the network of one finished trial",
        "pick 6 --study 1a2b3c4d",
    )
    pick.add_argument("trial", type=int, help="its number, as in MLflow and search/trials.json")
    pick.add_argument("--study", default="", help="beginning of the study's key (default: the last search's)")
    pick.set_defaults(run=_pick)

    promote = _add(
        commands,
        "promote",
        "let an alias point at a registered network, after checks",
        "promote tatsnet@knee champion",
    )
    promote.add_argument("network", help="NAME@ALIAS or NAME/VERSION")
    promote.add_argument("alias", help="to set, as champion")
    promote.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        metavar="DB",
        help="how far PSNR may be below that of the network which has the alias, dB (default: %(default)s)",
    )
    promote.add_argument("--force", action="store_true", help="set it even if a check fails")
    promote.set_defaults(run=_promote)

    keep = _add(
        commands,
        "keep-study",
        "go on with a study of these parameters that began with other code",
        "keep-study 1a2b3c4d",
    )
    keep.add_argument("study", nargs="?", default="", help="beginning of its name (default: the one with most trials)")
    keep.set_defaults(run=_keep_study)

    ui = commands.add_parser("ui", help="start MLflow and print one link to the Pareto view", add_help=False)
    ui.set_defaults(run=_ui)

    summary = _add(commands, "summary", "say what the last run found and what to type next", "summary")
    summary.set_defaults(run=_summary)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"Example: python -m pipeline {example}"
    )


def _plan(arguments: argparse.Namespace) -> int:
    from pipeline.commands.plan import make_plan
    from pipeline.commands.plan_cluster import by_the_clock, render_clock
    from pipeline.commands.plan_table import render
    from pipeline.common.errors import UserError
    from pipeline.config import load

    if (arguments.gpus is not None and arguments.gpus < 1) or not 0 <= arguments.interruptions < math.inf:
        raise UserError("--gpus must be at least 1, and --interruptions a number from 0")
    params = load(arguments.params)
    plan = make_plan(params, arguments.params)
    gpus = arguments.gpus or (1 if arguments.card else None)
    clock = by_the_clock(plan, params, gpus, arguments.card, arguments.interruptions) if gpus else None
    if arguments.json:
        print(json.dumps(plan.to_json() | ({"clock": clock.to_json()} if clock else {}), indent=2))
    else:
        print(render(plan) + (f"\n\n{render_clock(clock)}" if clock else ""))
    return 0


def _warm_start(arguments: argparse.Namespace) -> int:
    from pipeline.common.files import read_json
    from pipeline.config import PARAMS_FILE, load
    from pipeline.config.editing import put_suggestions
    from pipeline.search.study.warm_start import best_points

    study = read_json(arguments.trials, "name the search/trials.json of an earlier search")
    points = best_points(study, load(PARAMS_FILE).search, arguments.points)
    put_suggestions(PARAMS_FILE, points)
    for point in points:
        print(f"{point.variant}  lambda1 {point.lambda1:.2g}  lambda2 {point.lambda2:.2g}  gamma {point.gamma:.2f}")
    print(f"search.suggestions of {PARAMS_FILE} are now these {len(points)}; `dvc repro` tries them first")
    return 0


def _worker(arguments: argparse.Namespace) -> int:
    from pipeline.commands.worker import worker

    print(worker(Path()))
    return 0


def _pick(arguments: argparse.Namespace) -> int:
    from pipeline.commands.pick import pick

    print(pick(Path(), arguments.trial, arguments.study))
    return 0


def _keep_study(arguments: argparse.Namespace) -> int:
    from pipeline.commands.keep_study import keep_study

    print(keep_study(Path(), arguments.study))
    return 0


def _promote(arguments: argparse.Namespace) -> int:
    from pipeline.commands.promote import promote

    network, alias = arguments.network, arguments.alias
    print(promote(Path(), network, alias, tolerance_db=arguments.tolerance, force=arguments.force))
    return 0


def _ui(arguments: argparse.Namespace) -> int:
    from pipeline.commands.ui import main as run_ui

    return run_ui(arguments.rest)


def _summary(arguments: argparse.Namespace) -> int:
    from pipeline.commands.summary import summarise

    print(summarise(Path()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
