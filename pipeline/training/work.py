"""One training outside a search, wherever it runs: a dense network from random weights, or a network trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.common.layout import WEIGHTS
from pipeline.training.curves import Shown
from pipeline.training.follow import device_of
from tatsnet.data.pairs import PhotoPack
from tatsnet.method.checkpoint import load_dense, load_masked, save_dense, save_masked
from tatsnet.method.engine import training_batches
from tatsnet.method.masked import MaskedNetwork
from tatsnet.method.objective import Variant
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import Progress, finetune, train_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.quality.control import Control, measure_control
from tatsnet.quality.evaluation import EvalPhoto, oracle_psnr
from tatsnet.train.kept import Curve

MORE = 1000
"""Added to the seed of the batches where a network is trained on, so that they differ from those that it has seen."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training; plain values only, so that it can be sent to another process or machine.

    Attributes:
        label: for people.
        key: of all that decides the result, photos and code among it: its checkpoint is found by it.
        begin: the file of the network that is trained on; or the size of a dense one, which begins with random weights.
        variant: of a masked network; None for a dense one.
        iterations: to train.
        config: how.
        shown: where its curve is recorded while it trains; None records none.
    """

    label: str
    key: str
    begin: bytes | NetworkConfig
    variant: Variant | None
    iterations: int
    config: TrainConfig
    shown: Shown | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a job: validation PSNR in dB, how it obeys its sliders there, and the curve."""

    psnr_db: float
    control: Control
    curve: Curve

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"psnr_db": self.psnr_db, "control": self.control.to_json(), "curve": self.curve}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Trained:
        """Read what `to_json` wrote."""
        return Trained(psnr_db=data["psnr_db"], control=Control.from_json(data["control"]), curve=data["curve"])


class Work:
    """A job under way.

    Args:
        state: of the training that is resumed; None begins.

    Raises:
        UserError: CUDA is asked for and not there.
        ValueError: a network's file, or a state, that is damaged or of another training.
    """

    def __init__(
        self, job: Job, pack: PhotoPack, valid: Sequence[EvalPhoto], state: Mapping[str, Tensor] | None, start: int
    ) -> None:
        self.job, self._valid = job, valid
        self._device = device_of(job.config)
        self._model = _network(job)
        batches = training_batches(
            pack,
            job.config,
            relative=job.variant is not None and job.variant.relative,
            seed=job.config.seed + (MORE if isinstance(job.begin, bytes) else 0),
            start=start,
            stop=job.iterations,
            device=self._device,
        )
        train = (batches, job.iterations, job.config, self._device, state)
        if isinstance(self._model, MaskedNetwork):
            self.training = finetune(self._model, *train)
        else:
            self.training = train_dense(self._model, *train)

    @property
    def iteration(self) -> int:
        """Finished iterations."""
        return self.training.iteration

    def advance(self) -> Progress | None:
        """Train up to the next report; None when the training has ended."""
        return next(self.training, None)

    def save(self, folder: Path) -> None:
        """Write the network."""
        model, variant = self._model, self.job.variant
        if isinstance(model, SuperNetwork):
            save_dense(folder / WEIGHTS, model, {"iterations": str(self.job.iterations)})
        elif variant is not None:
            gamma, meta = model.consensus.gamma, {"variant": variant.value}
            save_masked(folder / WEIGHTS, model, gamma=gamma, sharing=variant.shares, meta=meta)

    def trained(self, curve: Curve) -> Trained:
        """Measure the network on the validation crops."""
        return Trained(
            psnr_db=oracle_psnr(self._model, self._valid, self._device),
            control=measure_control(self._model, self._valid, self._device),
            curve=curve,
        )


def _network(job: Job) -> SuperNetwork | MaskedNetwork:
    if isinstance(job.begin, NetworkConfig):
        return SuperNetwork(job.begin, torch.Generator().manual_seed(job.config.seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        path.write_bytes(job.begin)
        return load_dense(path) if job.variant is None else load_masked(path)
