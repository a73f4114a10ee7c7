"""The real search with and without early stopping: hypervolume and iterations, side by side.

Runs the search stage of a prepared project as `dvc repro` would, in copies of its folder, for each seed without and
with the rule, once or --repeats times: trials end in another order from run to run. Or, with --recorded, it takes the
searches without the rule from what `benchmarks.searchers` has recorded of TPE: then those with the rule have as many
trials, and no suggestions either.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.cluster.ray_auth import close_own_ray
from pipeline.common.layout import TRIALS_FILE
from pipeline.config import Params, Stopping, load
from pipeline.search.study.pareto import Candidate, hypervolume, pareto_set
from pipeline.stages import search
from pipeline.stages.runner import Context
from pipeline.tracking import NullRun, NullTracker

INPUTS = ("data", "models/supernet")
FIGURES = "models/supernet/figures.json"


def recorded(path: Path, params: Params, floor_db: float) -> dict[str, Any]:
    """A recorded search, which no rule stopped, told as `searched` does."""
    from benchmarks.searchers import volume  # imports Ray, which reads then whether it is to ask for a token

    curves = json.loads(path.read_text(encoding="utf-8"))
    ends = [curve["state"] for curve in curves]
    return {
        "hypervolume": volume(curves, floor_db),
        "iterations": len(curves) * params.search.schedule.iterations,
        "trials": {"finished": ends.count("finished"), "stopped": 0, "failed": ends.count("failed")},
    }


def searched(root: Path, params: Params, seed: int, stopping: Stopping) -> dict[str, Any]:
    """Hypervolume, iterations, and how the trials of one search ended."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in INPUTS:
            shutil.copytree(root / name, place / name)
        config = replace(params.search, seed=seed, stopping=stopping)
        context = Context(root=place, params=replace(params, search=config), tracker=NullTracker(), run=NullRun())
        search.work(context)
        found = json.loads((place / TRIALS_FILE).read_text(encoding="utf-8"))
    trials = found["trials"]
    finished = [row for row in trials if row["state"] == "finished"]
    front = pareto_set(
        [
            Candidate(
                number=row["number"], psnr_db=row["metrics"]["psnr_db"], costs=(row["metrics"]["flops_ratio_m27"],)
            )
            for row in finished
        ]
    )
    return {
        "hypervolume": hypervolume(front, found["dense"]["input_psnr_db"]),
        "iterations": sum(row["metrics"].get("iterations", 0) for row in trials),
        "trials": {state: sum(row["state"] == state for row in trials) for state in ("finished", "stopped", "failed")},
    }


def mean_and_error(shares: Sequence[float]) -> str:
    """Mean in percent, with its standard error where there are several."""
    error = f" ± {statistics.stdev(shares) / len(shares) ** 0.5:.1%}" if len(shares) > 1 else ""
    return f"{statistics.mean(shares):.1%}{error}"


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.stopping --rungs 0.1 --keep 0.4 --json /tmp/stopping.json",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="project folder with data/ and models/supernet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=1, help="searches of each seed (default %(default)s)")
    parser.add_argument("--rungs", type=float, nargs="+", required=True, help="tenths, as search.stopping.rungs")
    parser.add_argument("--keep", type=float, required=True, help="as search.stopping.keep")
    parser.add_argument("--recorded", type=Path, metavar="OUT", help="folder of recorded searches")
    parser.add_argument("--json", type=Path, help="file of the figures; what it holds is not searched again")
    args = parser.parse_args(argv)
    close_own_ray()
    params = load(args.root / "params.yaml")
    rules = {"without": Stopping(rungs=(), keep=args.keep), "with": Stopping(rungs=tuple(args.rungs), keep=args.keep)}
    known = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    floor_db = json.loads((args.root / FIGURES).read_text())["input_psnr_db"]
    for repeat, seed in itertools.product(range(args.repeats), args.seeds):
        if args.recorded:
            curves = args.recorded / f"tpe-{seed}.json"
            known[f"without {seed} {repeat}"] = found = recorded(curves, params, floor_db)
            wanted = found["trials"]["finished"]
            params = replace(params, search=replace(params.search, suggestions=(), trials=wanted))
        for name, stopping in rules.items():
            key = f"{name} {seed} {repeat}"
            if key not in known:
                known[key] = searched(args.root, params, seed, stopping)
                print(key, known[key], file=sys.stderr, flush=True)
            if args.json:
                args.json.write_text(json.dumps(known, indent=1))
    print("| seed | trials | hypervolume without | with | kept | iterations | finished, stopped, failed |")
    print("|--:|--:|--:|--:|--:|--:|:--|")
    kept, used = [], []
    for seed, repeat in itertools.product(args.seeds, range(args.repeats)):
        whole, part = known[f"without {seed} {repeat}"], known[f"with {seed} {repeat}"]
        kept.append(part["hypervolume"] / whole["hypervolume"])
        used.append(part["iterations"] / whole["iterations"])
        ends = ", ".join(str(part["trials"][state]) for state in ("finished", "stopped", "failed"))
        trials = whole["trials"]["finished"]
        volumes = f"{whole['hypervolume']:.3f} | {part['hypervolume']:.3f}"
        print(f"| {seed} | {trials} | {volumes} | {kept[-1]:.1%} | {used[-1]:.1%} | {ends} |")
    print(f"| mean | | | | {mean_and_error(kept)} | {mean_and_error(used)} | |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
