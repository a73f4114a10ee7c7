"""Stage finetune: the picks train on with a frozen architecture, the dense baseline with the same budget."""

from __future__ import annotations

from typing import Any

from pipeline.common.files import atomic_write_json, fresh_folder, read_json
from pipeline.common.layout import (
    DENSE,
    FIGURES,
    SELECTED_FILE,
    TRIALS,
    TUNED,
)
from pipeline.common.progress import say
from pipeline.stages.runner import Context, Stage, main
from pipeline.training.baseline import STAGE as NAME
from pipeline.training.baseline import baseline_job, tuning_job
from pipeline.training.jobs import run_jobs
from pipeline.training.work import Job
from tatsnet.method.objective import Variant


def make_jobs(context: Context, picks: list[dict[str, Any]]) -> dict[str, Job]:
    """The dense baseline and every picked trial, by the name of its folder; the longest first."""
    root, params = context.root, context.params
    made = {DENSE: baseline_job(root, params, context.shown(f"train_{DENSE}"))}
    for trial, variant in {pick["trial"]: pick["variant"] for pick in picks}.items():
        names = "+".join(pick["name"] for pick in picks if pick["trial"] == trial)
        place = f"{trial:04d}"
        made[place] = tuning_job(
            root,
            params,
            f"{names} (trial {trial})",
            root / TRIALS / place,
            params.finetune.iterations,
            Variant(variant),
            context.shown(f"train_{place}"),
        )
    return made


def work(context: Context) -> None:
    """Write `models/tuned/{dense, trial number}`."""
    picks = read_json(context.root / SELECTED_FILE, "run the stage again: dvc repro --force select")["picks"]
    params = context.params
    with fresh_folder(context.root / TUNED) as folder:
        jobs = make_jobs(context, picks)
        for place in jobs:
            (folder / place).mkdir()
        by_folder = {folder / place: job for place, job in jobs.items()}
        made = run_jobs(context.root, NAME, by_folder, params.search.resources, params.finetune.processes)
        tuned = dict(zip(jobs, made, strict=True))
        dense = tuned[DENSE].control
        figures = {
            place: {"psnr_db": result.psnr_db, **result.control.beside(dense)} for place, result in tuned.items()
        }
        for place, job in jobs.items():
            say(f"{job.label}  validation {figures[place]['psnr_db']:.2f} dB")
        atomic_write_json(folder / FIGURES, figures)
    context.run.metrics({f"psnr_db_{place}": float(found["psnr_db"]) for place, found in figures.items()})
    context.run.json({place: result.curve for place, result in tuned.items()}, "curves.json")


STAGE = Stage(
    name=NAME,
    summary="trains the picks on with a frozen architecture, and the dense baseline with the same budget",
    upstream=("degrade", "pretrain", "search", "select"),
    sections=lambda params: {"finetune": params.finetune, "train": params.train},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
