"""The three trainings from a folder of photos to a folder with a network: no server, no scheduler, no tracker."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from tatsnet.data.pairs import PhotoPack
from tatsnet.method.checkpoint import load_dense, load_masked, read_extra, save_dense, save_masked
from tatsnet.method.engine import pick_device, training_batches
from tatsnet.method.masked import MaskedNetwork
from tatsnet.method.objective import Objective, Variant
from tatsnet.method.settings import MethodConfig, Schedule, TrainConfig
from tatsnet.method.training import Training, finetune, search, train_dense
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.quality.evaluation import EvalPhoto, input_psnr, oracle_psnr
from tatsnet.shipped import SHIPPED_DENSE, dense_parts
from tatsnet.system.files import Tensors, unpack
from tatsnet.system.json_files import read_json
from tatsnet.system.replacing import write_atomically
from tatsnet.train.following import follow
from tatsnet.train.kept import Checkpoint
from tatsnet.train.photos import read_photos, split

Kind = Literal["dense", "search", "finetune"]
NETWORK = "network.safetensors"
"""The trained network, in a training's folder."""

CURVE, SETTINGS, FIGURES, CHECKPOINT = "curve.json", "settings.json", "figures.json", "checkpoint"
BATCH_SEEDS = {"dense": 0, "search": 1, "finetune": 1000}
"""Added to the seed of the batches, so that no training sees another's."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training.

    Args:
        kind: `dense` trains a super network, `search` finds an architecture from a dense one, `finetune` trains a
            found network, or a dense one, further.
        photos: folders of photos.
        out: the folder of what comes of it.
        iterations: to train.
        begin: folder of the training that this one begins from, or `dense` for the dense network that comes with the
            package; None begins a dense training from random weights.
        network: size of a new super network.
        objective, method: of a search.
        phases: shares of a search's iterations.
        train: how to step.
        valid: photos that are kept aside to measure by.

    Raises:
        ValueError: a search without an objective, or a training without its beginning.
    """

    kind: Kind
    photos: tuple[Path, ...]
    out: Path
    iterations: int
    begin: Path | None = None
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: Objective | None = None
    method: MethodConfig = field(default_factory=MethodConfig)
    phases: tuple[float, float, float] = (0.05, 0.3, 0.7)
    train: TrainConfig = field(default_factory=TrainConfig)
    valid: int = 8

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")
        if self.kind != "dense" and self.begin is None:
            raise ValueError(f"{self.kind} needs the folder of the training that it begins from")
        if self.kind == "search" and self.objective is None:
            raise ValueError("a search needs lambda1, lambda2 and gamma")

    def settings(self) -> dict[str, Any]:
        """All that decides the result, as plain values; its folders are not among them."""
        plain = dataclasses.asdict(self, dict_factory=lambda items: {k: getattr(v, "value", v) for k, v in items})
        return {name: value for name, value in plain.items() if name not in ("photos", "out", "begin")}


def run(job: Job, tell: Callable[[str], None], seconds: float = float("inf")) -> dict[str, float] | None:
    """Train; a training that was suspended is resumed.

    Args:
        tell: shows a line to the user.
        seconds: after so many the training is suspended; its network as it is lies in the folder too.

    Returns:
        PSNR of the validation crops in dB, `input_psnr_db` and `psnr_db`; None when the training was suspended.

    Raises:
        ValueError: settings, photos or networks that do not fit together; another training's folder.
        Diverged: the loss is not finite.
        OSError: a file cannot be read or written.
    """
    began = time.monotonic()
    if job.train.threads:
        torch.set_num_threads(job.train.threads)
    _claim(job)
    if (done := job.out / FIGURES).is_file() and (job.out / NETWORK).is_file():
        tell(f"{job.out} is done already")
        figures: dict[str, float] = read_json(done)
        return figures
    photos = [photo for folder in job.photos for photo in read_photos(folder, job.train.patch, tell)]
    pack, valid = split(photos, job.valid, job.train.seed)
    kept = Checkpoint(job.out / CHECKPOINT, tell)
    made = _make(job, pack, kept)
    steps, state = made.training, made.training.state
    finished = follow(job.out.name, steps, job.iterations, state, kept, tell, until=began + seconds)
    made.save(job.out / NETWORK)
    if not finished:
        return None
    write_atomically(job.out / CURVE, json.dumps(kept.curve).encode())
    figures = _measure(made.model, valid)
    write_atomically(job.out / FIGURES, json.dumps(figures, indent=2).encode())
    kept.forget()
    return figures


def _claim(job: Job) -> None:
    path, settings = job.out / SETTINGS, json.loads(json.dumps(job.settings()))
    if path.is_file() and read_json(path) != settings:
        raise ValueError(f"{job.out} holds a training with other settings ({path}): name another folder")
    write_atomically(path, json.dumps(settings, indent=2).encode())


@dataclass(frozen=True)
class _Made:
    training: Training
    model: SuperNetwork | MaskedNetwork
    save: Callable[[Path], None]


def _make(job: Job, pack: PhotoPack, kept: Checkpoint) -> _Made:
    device = pick_device(job.train.device)
    variant = _variant(job)
    batches = training_batches(
        pack,
        job.train,
        relative=variant is not None and variant.relative,
        seed=job.train.seed + BATCH_SEEDS[job.kind],
        start=kept.iteration,
        stop=job.iterations,
        device=device,
    )
    generator = torch.Generator().manual_seed(job.train.seed)
    if variant is None:
        network = SuperNetwork(job.network, generator) if job.begin is None else dense_network(job.begin)
        training = train_dense(network, batches, job.iterations, job.train, device, kept.state)
        return _Made(training, network, lambda path: save_dense(path, network))
    if job.kind == "finetune":
        model = load_masked(_beginning(job) / NETWORK)
        gamma = model.consensus.gamma
        training = finetune(model, batches, job.iterations, job.train, device, kept.state)
    else:
        objective = _objective(job)
        gamma, dense = objective.gamma, dense_network(_beginning(job))
        model = MaskedNetwork(dense.config, job.method, gamma=gamma, sharing=variant.shares, generator=generator)
        model.supernet.load_state_dict(dense.state_dict())
        phases = dict(zip(("warmup", "specific", "agnostic"), job.phases, strict=True))
        schedule = Schedule(iterations=job.iterations, **phases)
        training = search(model, objective, batches, schedule, job.train, device, generator, kept.state)
    meta = {"variant": variant.value}
    return _Made(training, model, lambda path: save_masked(path, model, gamma=gamma, sharing=variant.shares, meta=meta))


def dense_network(begin: Path) -> SuperNetwork:
    """The network of a dense training, or with `dense` the one that comes with the package."""
    if begin.exists() or str(begin) != SHIPPED_DENSE:
        return load_dense(begin / NETWORK)
    weights: Tensors = {}
    for part in dense_parts():
        weights |= unpack(part.read_bytes(), part, "install tatsnet again")
    width, scales = weights["head.weight"].shape[0], weights["local_scale.bias"].shape[0]
    network = SuperNetwork(NetworkConfig(width=width, blocks=scales // width))
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return network


def _variant(job: Job) -> Variant | None:
    if job.kind == "search":
        return _objective(job).variant
    if job.kind == "finetune" and (name := read_extra(_beginning(job) / NETWORK).get("variant")):
        return Variant(name)
    return None


def _beginning(job: Job) -> Path:
    assert job.begin is not None, "__post_init__ has seen to it"
    return job.begin


def _objective(job: Job) -> Objective:
    assert job.objective is not None, "__post_init__ has seen to it"
    return job.objective


def _measure(model: SuperNetwork | MaskedNetwork, valid: tuple[EvalPhoto, ...]) -> dict[str, float]:
    if not valid:
        return {}
    device = next(model.parameters()).device
    return {"input_psnr_db": input_psnr(valid), "psnr_db": oracle_psnr(model, valid, device)}
