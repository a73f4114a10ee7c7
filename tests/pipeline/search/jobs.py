"""A search's job on random photos, for trials that are run in the test's own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.search.trial.trial import Job
from tatsnet.data.degradation import Image
from tatsnet.data.pairs import PhotoPack
from tatsnet.network.supernet import SuperNetwork
from tatsnet.network.tasks import AXES
from tatsnet.quality.control import Control
from tatsnet.quality.evaluation import make_eval_photos
from tests.pipeline.search.spaces import tiny


def smooth_photo(height: int, width: int, seed: int) -> Image:
    """A photo-like picture: smooth, in colour, with some grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width][..., None] / 12
    phase, speed = rng.uniform(0, 6, 3), rng.uniform(0.5, 2, 3)
    waves = 128 + 80 * np.sin(speed * x + phase) * np.cos(speed[::-1] * y + phase)
    photo: Image = np.clip(waves + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)
    return photo


def make_job(changes: Mapping[str, Any] | None = None, dense_gain_db: float = 1.0) -> Job:
    """The tiny profile's job with an untrained network, beside a dense one that gains so much on each axis."""
    params = tiny({"search.schedule.iterations": 30, "train.batch": 2} | dict(changes or {}))
    return Job(
        network=params.network,
        train=params.train,
        schedule=params.search.schedule,
        method=params.search.method,
        pack=PhotoPack.of([smooth_photo(40, 56, 0), smooth_photo(32, 24, 1)]),
        valid=tuple(make_eval_photos("valid", smooth_photo(32, 32, 2), 24, 1, 0)),
        warm=SuperNetwork(params.network, torch.Generator().manual_seed(3)).state_dict(),
        dense=Control(gain_db=dict.fromkeys(AXES, dense_gain_db), evenness=dict.fromkeys(AXES, 1.0), off_rms=0.0),
        gpus=0.0,
        cpus=1.0,
    )
