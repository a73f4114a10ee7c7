"""Stage pretrain: the dense super network, the baseline's beginning and every trial's warm start."""

from __future__ import annotations

from pipeline.common.datasets import load_eval_photos, pack_digest
from pipeline.common.files import atomic_write_json, fresh_folder
from pipeline.common.layout import EVAL, FIGURES, SUPERNET, TRAIN
from pipeline.common.progress import say
from pipeline.stages.runner import Context, Stage, main
from pipeline.training.follow import training_key, warn_if_useless
from pipeline.training.jobs import run_jobs
from pipeline.training.work import Job
from tatsnet.quality.evaluation import input_psnr


def work(context: Context) -> None:
    """Train, measure on the validation crops, write `models/supernet`."""
    params, root = context.params, context.root
    inputs = {
        "network": params.network,
        "train": params.train,
        "iterations": params.pretrain.iterations,
        "photos": pack_digest(root / TRAIN),
    }
    job = Job(
        label="pretrain",
        key=training_key(inputs),
        begin=params.network,
        variant=None,
        iterations=params.pretrain.iterations,
        config=params.train,
        shown=context.shown("train"),
    )
    with fresh_folder(root / SUPERNET) as folder:
        (made,) = run_jobs(root, "pretrain", {folder: job}, params.search.resources, processes=1)
        psnr = {"input_psnr_db": input_psnr(load_eval_photos(root / EVAL / "valid")), "psnr_db": made.psnr_db}
        atomic_write_json(folder / FIGURES, {**psnr, "control": made.control.to_json()})
    context.run.metrics(psnr)
    context.run.json(made.curve, "curve.json")
    context.run.artifact(root / SUPERNET / FIGURES)
    say(f"pretrain  validation: input {psnr['input_psnr_db']:.2f} dB, dense {psnr['psnr_db']:.2f} dB")
    warn_if_useless("pretrain", psnr["psnr_db"], psnr["input_psnr_db"])


STAGE = Stage(
    name="pretrain",
    summary="trains the dense super network, from which every trial starts",
    upstream=("degrade",),
    sections=lambda params: {"network": params.network, "train": params.train, "pretrain": params.pretrain},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
