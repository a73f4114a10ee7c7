"""Trainings outside a search: on the cluster that RAY_ADDRESS names, or in processes of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

import torch

from pipeline.cluster.ray_auth import cluster_address
from pipeline.common.datasets import load_eval_photos, load_pack
from pipeline.common.layout import EVAL, TRAIN
from pipeline.common.progress import say
from pipeline.config import Resources
from pipeline.training.follow import checkpoint_path, forget, run_to_end
from pipeline.training.work import Job, Trained, Work
from tatsnet.train.kept import Checkpoint


def run_jobs(root: Path, stage: str, jobs: Mapping[Path, Job], resources: Resources, processes: int) -> list[Trained]:
    """Train, write each network into its folder, and measure; in the jobs' order. What was begun before is resumed.

    On a cluster each training is a task of its own with the resources of a trial, but whole GPUs; its checkpoints and
    network lie in the store (TATSNET_STORE), from which another node resumes it.

    Args:
        root: the project folder, whose photos are trained and validated on.
        stage: whose trainings these are.
        jobs: by the folder of the network.
        resources: of one training, on a cluster.
        processes: trainings at a time, on this machine.

    Raises:
        UserError: of the first training that failed.
    """
    if cluster_address():
        from pipeline.training.on_cluster import run_on_cluster  # imports Ray

        return run_on_cluster(root, stage, jobs, resources)
    one = partial(_run_here, root, stage)
    made = [one(*item) for item in jobs.items()] if len(jobs) == 1 else _in_processes(one, jobs, processes)
    forget(root, stage, [checkpoint_path(root, stage, job.key) for job in jobs.values()])
    return made


def _run_here(root: Path, stage: str, folder: Path, job: Job) -> Trained:
    threads = torch.get_num_threads()
    torch.set_num_threads(job.config.threads or threads)
    try:
        checkpoint = Checkpoint(checkpoint_path(root, stage, job.key), say)
        pack, valid = load_pack(root / TRAIN), load_eval_photos(root / EVAL / "valid")
        work = Work(job, pack, valid, checkpoint.state, checkpoint.iteration)
        watch = job.shown.watch(job.iterations) if job.shown else None
        curve = run_to_end(job.label, work.training, job.iterations, checkpoint, watch)
        work.save(folder)
        return work.trained(curve)
    finally:
        torch.set_num_threads(threads)


def _in_processes(one: partial[Trained], jobs: Mapping[Path, Job], processes: int) -> list[Trained]:
    """So many at a time, each in a fresh process; on an error or an interrupt the others are ended at once."""
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool:
        results = [pool.submit(one, folder, job) for folder, job in jobs.items()]
        try:
            return [result.result() for result in results]
        except BaseException:
            for process in active_children():
                process.terminate()  # or the pool would wait for trainings that nobody asks for any more
            raise
