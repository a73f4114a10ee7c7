"""Training on of one network, in a process of its own: the work of the finetune stage.

A job names files and plain values only, so that it can be sent to a fresh process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path

import torch

from pipeline.common.datasets import load_eval_photos, load_pack
from pipeline.common.progress import say
from pipeline.training.curves import Shown
from pipeline.training.follow import device_of, run_to_end
from tatsnet.data.pairs import Batch
from tatsnet.method.checkpoint import load_dense, load_masked, save_dense, save_masked
from tatsnet.method.engine import training_batches
from tatsnet.method.objective import Variant
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import finetune, train_dense
from tatsnet.quality.control import Control, measure_control
from tatsnet.quality.evaluation import EvalPhoto, Restore, oracle_psnr
from tatsnet.train.kept import Checkpoint, Curve

SEED_OFFSET = 1000
"""Batches of this stage differ from those of pretrain and search."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One network to train on.

    Args:
        label: for people.
        variant: of a masked network; None for the dense one.
        weights: where it is now.
        target: where it goes.
        checkpoint: where it leaves its state on the way.
        photos, valid: training photos and validation crops.
        iterations: to train.
        config: how.
        shown: where its curve is recorded while it trains; None records none.
    """

    label: str
    variant: Variant | None
    weights: Path
    target: Path
    checkpoint: Path
    photos: Path
    valid: Path
    iterations: int
    config: TrainConfig
    shown: Shown | None = None


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What came of a job: validation PSNR in dB, how it obeys its sliders there, and the curve."""

    psnr_db: float
    control: Control
    curve: Curve


def run(job: Job) -> Tuned:
    """Train, save, measure.

    Raises:
        UserError: the training diverged, or a file cannot be read.
    """
    if job.config.threads:
        torch.set_num_threads(job.config.threads)
    device = device_of(job.config)
    valid = load_eval_photos(job.valid)
    checkpoint = Checkpoint(job.checkpoint, say)
    ready = _stream(job, checkpoint.iteration, device)
    watch = job.shown.watch(job.iterations) if job.shown else None
    if job.variant is None:
        network = load_dense(job.weights)
        training = train_dense(network, ready, job.iterations, job.config, device, checkpoint.state)
        curve = run_to_end(job.label, training, job.iterations, checkpoint, watch)
        save_dense(job.target, network, {"iterations": str(job.iterations)})
        return _measured(network, valid, device, curve)
    model = load_masked(job.weights)
    training = finetune(model, ready, job.iterations, job.config, device, checkpoint.state)
    curve = run_to_end(job.label, training, job.iterations, checkpoint, watch)
    gamma, variant = model.consensus.gamma, job.variant
    save_masked(job.target, model, gamma=gamma, sharing=variant.shares, meta={"variant": variant.value})
    return _measured(model, valid, device, curve)


def _measured(network: Restore, valid: Sequence[EvalPhoto], device: torch.device, curve: Curve) -> Tuned:
    control = measure_control(network, valid, device)
    return Tuned(psnr_db=oracle_psnr(network, valid, device), control=control, curve=curve)


def _stream(job: Job, begin: int, device: torch.device) -> Iterable[Batch]:
    return training_batches(
        load_pack(job.photos),
        job.config,
        relative=job.variant is not None and job.variant.relative,
        seed=job.config.seed + SEED_OFFSET,
        start=begin,
        stop=job.iterations,
        device=device,
    )


def run_all(jobs: list[Job], processes: int) -> list[Tuned]:
    """Run jobs, so many at a time, each in a fresh process; results in the jobs' order.

    On an error or an interrupt the others are ended at once; their checkpoints stay.

    Raises:
        UserError: of the first job that failed.
    """
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool:
        results = [pool.submit(run, job) for job in jobs]
        try:
            return [result.result() for result in results]
        except BaseException:
            for process in active_children():
                process.terminate()  # or the pool would wait for trainings that nobody asks for any more
            raise
