"""The job of a search's trials, read from what the earlier stages made."""

from __future__ import annotations

from pathlib import Path

from pipeline.cluster.photos import TravellingPack
from pipeline.cluster.ray_auth import cluster_address
from pipeline.cluster.store import place_of_all
from pipeline.common.datasets import load_eval_photos
from pipeline.common.files import read_json
from pipeline.common.layout import EVAL, FIGURES, SUPERNET, TRAIN, WEIGHTS
from pipeline.config import Params
from pipeline.search.trial.trial import Job
from tatsnet.method.checkpoint import load_dense
from tatsnet.quality.control import Control
from tatsnet.timing.latency_model import LatencyTable


def make_job(root: Path, params: Params, latency: LatencyTable | None = None) -> Job:
    """What all trials share.

    Raises:
        UserError: what an earlier stage makes is missing or damaged.
    """
    figures = read_json(root / SUPERNET / FIGURES, "run the stage again: dvc repro --force pretrain")
    return Job(
        network=params.network,
        train=params.train,
        schedule=params.search.schedule,
        method=params.search.method,
        pack=TravellingPack.at(root / TRAIN, place_of_all() if cluster_address() else None),
        valid=tuple(load_eval_photos(root / EVAL / "valid")),
        warm=load_dense(root / SUPERNET / WEIGHTS).state_dict(),
        dense=Control.from_json(figures["control"]),
        gpus=params.search.resources.gpus_per_trial,
        cpus=params.search.resources.cpus_per_trial,
        latency=latency,
    )
