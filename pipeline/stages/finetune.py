"""Stage finetune: the picks train on with a frozen architecture, the dense baseline with the same budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.artifacts import atomic_write_json, fresh_folder, read_json
from pipeline.datasets import load_eval_photos, load_pack
from pipeline.layout import DENSE, EVAL, FIGURES, SELECTED_FILE, SUPERNET, TRAIN_PIXELS, TRIALS, TUNED, WEIGHTS
from pipeline.progress import say
from pipeline.stage import Context, Stage, main
from pipeline.training_runs import Curve, follow
from tatsnet.checkpoint import load_dense, load_masked, save_dense, save_masked
from tatsnet.data import PairSampler, batches
from tatsnet.evaluation import oracle_psnr
from tatsnet.objective import Variant
from tatsnet.supernet import SuperNetwork
from tatsnet.training import finetune, pick_device, train_dense

SEED_OFFSET = 1000
"""Batches of this stage differ from those of pretrain and search."""


def stream(context: Context, relative: bool, iterations: int) -> Any:
    """Fresh training batches."""
    config = context.params.train
    pack = load_pack(context.root / TRAIN_PIXELS)
    seed = config.seed + SEED_OFFSET
    sampler = PairSampler(pack, patch=config.patch, batch=config.batch, relative=relative, seed=seed)
    return batches(sampler, 0, iterations, config)


def tune_dense(context: Context, folder: Path) -> tuple[SuperNetwork, Curve]:
    """Train the baseline on by what a pick got: one trial's and this stage's iterations."""
    config = context.params.train
    iterations = context.params.search.schedule.iterations + context.params.finetune.iterations
    network = load_dense(context.root / SUPERNET / WEIGHTS)
    steps = train_dense(network, stream(context, False, iterations), iterations, config, pick_device(config.device))
    curve = follow(f"finetune {DENSE}", steps, iterations)
    save_dense(folder / WEIGHTS, network, {"iterations": str(iterations)})
    return network, curve


def tune_trial(context: Context, label: str, trial: int, variant: Variant, folder: Path) -> tuple[Any, Curve]:
    """Train a pick on."""
    config, iterations = context.params.train, context.params.finetune.iterations
    model = load_masked(context.root / TRIALS / f"{trial:04d}" / WEIGHTS)
    steps = finetune(
        model, stream(context, variant.relative, iterations), iterations, config, pick_device(config.device)
    )
    curve = follow(f"finetune {label}", steps, iterations)
    gamma = model.consensus.gamma
    save_masked(folder / WEIGHTS, model, gamma=gamma, sharing=variant.shares, meta={"variant": variant.value})
    return model, curve


def work(context: Context) -> None:
    """Write `models/tuned/{dense, trial number}`."""
    selected = read_json(context.root / SELECTED_FILE, "run the stage again: dvc repro --force select")
    by_number = {pick["trial"]: pick for pick in selected["picks"]}
    valid = load_eval_photos(context.root / EVAL / "valid")
    device = pick_device(context.params.train.device)
    with fresh_folder(context.root / TUNED) as root:
        curves: dict[str, Curve] = {}
        figures: dict[str, float] = {}
        for number in [None, *by_number]:
            label = DENSE if number is None else f"{number:04d}"
            (root / label).mkdir()
            if number is None:
                network, curves[label] = tune_dense(context, root / label)
            else:
                variant = Variant(by_number[number]["variant"])
                name = "+".join(p["name"] for p in selected["picks"] if p["trial"] == number)
                network, curves[label] = tune_trial(context, name, number, variant, root / label)
            figures[label] = oracle_psnr(network, valid, device)
            say(f"finetune {label}  validation {figures[label]:.2f} dB")
        atomic_write_json(root / FIGURES, figures)
    context.run.metrics({f"psnr_db_{label}": value for label, value in figures.items()})
    context.run.json(curves, "curves.json")


STAGE = Stage(
    name="finetune",
    summary="trains the picks on with a frozen architecture, and the dense baseline with the same budget",
    upstream=("degrade", "pretrain", "search", "select"),
    sections=lambda params: {"finetune": params.finetune, "train": params.train},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
