"""Stage pretrain: the dense super network, the baseline's beginning and every trial's warm start."""

from __future__ import annotations

import torch

from pipeline.common.datasets import load_eval_photos, load_pack
from pipeline.common.files import atomic_write_json, fresh_folder, sha256_file
from pipeline.common.layout import EVAL, FIGURES, SUPERNET, TRAIN_PIXELS, WEIGHTS
from pipeline.common.progress import say
from pipeline.stages.runner import Context, Stage, main
from pipeline.training.curves import curve_of
from pipeline.training.follow import checkpoint_path, device_of, forget, run_to_end, warn_if_useless
from tatsnet.method.checkpoint import save_dense
from tatsnet.method.engine import training_batches
from tatsnet.method.training import train_dense
from tatsnet.network.supernet import SuperNetwork
from tatsnet.quality.control import measure_control
from tatsnet.quality.evaluation import input_psnr, oracle_psnr
from tatsnet.timing.measure import threads
from tatsnet.train.kept import Checkpoint


def work(context: Context) -> None:
    """Train, measure on the validation crops, write `models/supernet`."""
    params = context.params
    config, iterations = params.train, params.pretrain.iterations
    device = device_of(config)
    network = SuperNetwork(params.network, torch.Generator().manual_seed(config.seed))
    pack = load_pack(context.root / TRAIN_PIXELS)
    photos = sha256_file(context.root / TRAIN_PIXELS)
    inputs = {"network": params.network, "train": config, "iterations": iterations, "photos": photos}
    checkpoint = Checkpoint(checkpoint_path(context.root, "pretrain", inputs), say)
    ready = training_batches(
        pack, config, relative=False, seed=config.seed, start=checkpoint.iteration, stop=iterations, device=device
    )
    training = train_dense(network, ready, iterations, config, device, checkpoint.state)
    with threads(config.threads or torch.get_num_threads()):
        watch = curve_of(context.run, "train", iterations)
        curve = run_to_end("pretrain", training, iterations, checkpoint, watch)
    valid = load_eval_photos(context.root / EVAL / "valid")
    figures = {
        "input_psnr_db": input_psnr(valid),
        "psnr_db": oracle_psnr(network, valid, device),
        "control": measure_control(network, valid, device).to_json(),
    }
    with fresh_folder(context.root / SUPERNET) as folder:
        save_dense(folder / WEIGHTS, network, {"iterations": str(iterations)})
        atomic_write_json(folder / FIGURES, figures)
    forget(context.root, "pretrain", [checkpoint.path])
    context.run.metrics({name: float(figures[name]) for name in ("input_psnr_db", "psnr_db")})  # type: ignore[arg-type]
    context.run.json(curve, "curve.json")
    context.run.artifact(context.root / SUPERNET / FIGURES)
    say(f"pretrain  validation: input {figures['input_psnr_db']:.2f} dB, dense {figures['psnr_db']:.2f} dB")
    warn_if_useless("pretrain", float(figures["psnr_db"]), float(figures["input_psnr_db"]))  # type: ignore[arg-type]


STAGE = Stage(
    name="pretrain",
    summary="trains the dense super network, from which every trial starts",
    upstream=("degrade",),
    sections=lambda params: {"network": params.network, "train": params.train, "pretrain": params.pretrain},
    work=work,
)

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
