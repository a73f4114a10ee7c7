"""Figures of one network for the report: quality, cost, latency, control; dense and extracted alike.

Shapes: B batch, C colours, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.report import TaskCost
from tatsnet.data.degradation import GRID, Degradation, Image, degrade
from tatsnet.method.masked import MaskedNetwork
from tatsnet.network.architecture import Architecture, NetworkConfig, convolutions
from tatsnet.network.flops import effect_cost, specific_flops
from tatsnet.network.sliders import PLAIN
from tatsnet.network.supernet import SuperNetwork
from tatsnet.network.tasks import AXES, Task
from tatsnet.quality.evaluation import EvalPhoto, Restore, oracle_outputs, restore_all, to_batch, to_images
from tatsnet.quality.metrics import psnr, ssim
from tatsnet.quality.niqe import PristineModel, niqe
from tatsnet.restorer import Restorer

NIQE_DEGRADATIONS = (Degradation(0.0, 25.0, None), Degradation(2.0, 0.0, 60), Degradation(2.0, 25.0, 60))
"""What the whole test photos are degraded by before NIQE looks at them restored."""

CPU = torch.device("cpu")
HD = (720, 1280)
LEVELS = (0.25, 0.5, 0.75, 1.0)
DENSE_SAMPLE = 9
"""Effects of the dense network that are timed in place of 27: they all cost the same."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Means over the test inputs; PSNR in dB, of each of the 26 degradations too where they were told apart."""

    psnr_db: float
    ssim: float
    by_degradation_db: tuple[float, ...] = ()


class Dense:
    """The super network as something to measure."""

    sliders = PLAIN

    def __init__(self, network: SuperNetwork) -> None:
        self.network = network.eval()

    def restore(self, image_BCHW: Tensor, task_BD: Tensor) -> Tensor:
        """Each image by its task."""
        restored: Tensor = self.network(image_BCHW, task_BD)
        return restored

    def effects(self, image_BCHW: Tensor, tasks: Sequence[Task]) -> list[Tensor]:
        """Effects of one image, one whole inference each."""
        return [self.network(image_BCHW, torch.tensor([task], device=image_BCHW.device)) for task in tasks]


class Extracted:
    """An extracted network as something to measure."""

    def __init__(self, restorer: Restorer) -> None:
        self.restorer, self.sliders = restorer, restorer.sliders

    def restore(self, image_BCHW: Tensor, task_BD: Tensor) -> Tensor:
        """Each image by its task."""
        self.restorer.prepare(task_BD.tolist())
        return self.restorer.restore_tensor(image_BCHW, task_BD)

    def effects(self, image_BCHW: Tensor, tasks: Sequence[Task]) -> list[Tensor]:
        """Effects of one image, the shared part computed once."""
        encoded = self.restorer.encode_tensor(image_BCHW)
        self.restorer.prepare(tasks)
        return [self.restorer.effect_tensor(encoded, task) for task in tasks]


Measured = Dense | Extracted


def oracle_quality(restore: Restore, photos: Sequence[EvalPhoto], device: torch.device = CPU) -> Quality:
    """With the task vector of the true degradation, over 26 degradations of every photo."""
    scores = [
        (psnr(out, photo.clean), ssim(out, photo.clean))
        for photo, outs in oracle_outputs(restore, photos, device)
        for out in outs
    ]
    psnrs = np.array([s[0] for s in scores]).reshape(len(photos), -1)
    return Quality(
        psnr_db=float(psnrs.mean()),
        ssim=float(np.mean([s[1] for s in scores])),
        by_degradation_db=tuple(psnrs.mean(0).tolist()),
    )


def input_by_degradation(photos: Sequence[EvalPhoto]) -> tuple[float, ...]:
    """Mean PSNR of the inputs, dB, of each of the 26 degradations."""
    return tuple(float(np.mean([psnr(p.degraded[i], p.clean) for p in photos])) for i in range(len(GRID) - 1))


@torch.inference_mode()
def best_of_27(network: Measured, photos: Sequence[EvalPhoto], device: torch.device = CPU) -> Quality:
    """The best of the 27 effects per degraded input, PSNR and SSIM each by its own best (paper, Table 2)."""
    best = []
    for photo in photos:
        for degraded in photo.degraded:
            batch = to_batch([degraded], device)
            images = [to_images(effect)[0] for effect in network.effects(batch, GRID)]
            scores = [(psnr(image, photo.clean), ssim(image, photo.clean)) for image in images]
            best.append((max(s[0] for s in scores), max(s[1] for s in scores)))
    return Quality(psnr_db=float(np.mean([b[0] for b in best])), ssim=float(np.mean([b[1] for b in best])))


def naturalness(
    network: Measured, photos: Sequence[Image], model: PristineModel, seed: int, device: torch.device = CPU
) -> float:
    """Mean NIQE of whole photos, degraded three ways and restored with the oracle task vector; lower is better."""
    scores = []
    for index, photo in enumerate(photos):
        for d in NIQE_DEGRADATIONS:
            degraded = degrade(photo, d, np.random.default_rng([seed, index]))
            restored = restore_all(network.restore, [degraded], [d.task], device)[0]
            scores.append(niqe(restored, model))
    return float(np.mean(scores))


def dense_architecture(network: NetworkConfig) -> Architecture:
    """The dense network as an architecture: nothing shared, every channel kept."""
    return Architecture(network=network, shared=0, patterns=(network.whole,), tasks=tuple((task, 0) for task in GRID))


def flops_by_m(architecture: Architecture) -> tuple[tuple[int, float], ...]:
    """FLOPs per effect as a share of dense for M = 1 .. 27, at 1280x720."""
    return tuple((m, effect_cost(architecture, *HD, m).ratio) for m in range(1, 28))


def flops_by_task(model: MaskedNetwork | None, network: NetworkConfig) -> dict[str, tuple[TaskCost, ...]]:
    """Cost along each slider alone and along all three together (Figure 5); a dense network without a model."""
    series = {}
    for axes, name in [*(((axis,), name) for axis, name in enumerate(AXES)), ((0, 1, 2), "joint")]:
        tasks = [tuple(level if axis in axes else 0.0 for axis in range(3)) for level in LEVELS]
        if model is None:
            series[name] = tuple(TaskCost(level=level, shared=0.0, specific=1.0) for level in LEVELS)
            continue
        architecture = model.architecture(tasks)
        shared, by_pattern = specific_flops(architecture, *HD)
        dense = effect_cost(architecture, *HD, 1).dense
        series[name] = tuple(
            TaskCost(level=level, shared=shared / dense, specific=by_pattern[index] / dense)
            for level, (_, index) in zip(LEVELS, architecture.tasks, strict=True)
        )
    return series


def dense_parameters(network: NetworkConfig) -> int:
    """Weights and biases of the super network's convolutions and scales."""
    convs = sum(9 * conv.inputs * conv.outputs + conv.outputs for conv in convolutions(network))
    return convs + 4 * network.blocks * network.width + 4 * 3
