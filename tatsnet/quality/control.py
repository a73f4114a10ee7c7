"""Whether a network obeys its sliders: gain and evenness of each axis, and what it changes when all are at 0.

On inputs degraded on one axis alone. Movement by itself is no measure: a slider may move a photo and not mend it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tatsnet.data.degradation import Degradation, Image
from tatsnet.network.sliders import PLAIN, Sliders
from tatsnet.network.tasks import AXES, check_task
from tatsnet.quality.evaluation import EvalPhoto, Restore, degraded_grid, restore_all, to_batch
from tatsnet.quality.metrics import psnr

ALONE = {
    "deblur": (Degradation(blur=2), Degradation(blur=4)),
    "denoise": (Degradation(noise=25), Degradation(noise=50)),
    "dejpeg": (Degradation(quality=60), Degradation(quality=10)),
}
"""Each axis degraded at its middle and its full level, the others not at all."""

STEPS = 10
"""Equal moves of a slider from 0 to 1 by which evenness is measured."""

OFF = check_task([0.0] * len(AXES))
LEAST_GAIN_DB = 0.1
"""A dense network that gains less on an axis is no measure for others: its gain counts as so much."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """How a network obeys.

    Attributes:
        gain_db: by axis, mean gain of PSNR over the input, with the true task vector, dB.
        evenness: by axis, (sum of steps)^2 / (n x sum of squared steps) of the slider's travel in tenths, on the fully
            degraded inputs, n = 10, in (0, 1]: 1 is even, 1/n a single jump; 0 where nothing moves.
        off_rms: most that task vector 0 changes a photo, clean or degraded: RMS in 8-bit steps.
    """

    gain_db: Mapping[str, float]
    evenness: Mapping[str, float]
    off_rms: float

    def shares(self, dense: Control) -> dict[str, float]:
        """By axis, the gain as a share of the dense network's; below 0 where it does harm."""
        return {axis: gain / max(dense.gain_db[axis], LEAST_GAIN_DB) for axis, gain in self.gain_db.items()}

    def beside(self, dense: Control) -> dict[str, Any]:
        """As plain values, with `control`, the shares of the dense network's gain, and `weakest_slider`, the least."""
        shares = self.shares(dense)
        return {**self.to_json(), "control": shares, "weakest_slider": min(shares.values())}

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"gain_db": dict(self.gain_db), "evenness": dict(self.evenness), "off_rms": self.off_rms}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Control:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        gain, even = ({axis: float(data[name][axis]) for axis in AXES} for name in ("gain_db", "evenness"))
        return Control(gain_db=gain, evenness=even, off_rms=float(data["off_rms"]))


def measure_control(
    restore: Restore, photos: Sequence[EvalPhoto], device: torch.device, sliders: Sliders = PLAIN
) -> Control:
    """Measure a network on degraded photos.

    Args:
        photos: at least one; validation photos where anything is chosen by it.
        sliders: those whose evenness is measured.
    """
    gains: dict[str, list[float]] = {axis: [] for axis in AXES}
    changed = []
    for photo in photos:
        for axis, degradations in ALONE.items():
            inputs = [_degraded(photo, degradation) for degradation in degradations]
            outputs = restore_all(restore, inputs, [degradation.task for degradation in degradations], device)
            gains[axis] += [psnr(b, photo.clean) - psnr(a, photo.clean) for a, b in zip(inputs, outputs, strict=True)]
        still = [photo.clean, *(_degraded(photo, levels[-1]) for levels in ALONE.values())]
        left = restore_all(restore, still, [OFF] * len(still), device)
        changed += [rms(a, b) for a, b in zip(still, left, strict=True)]
    return Control(
        gain_db={axis: float(np.mean(values)) for axis, values in gains.items()},
        evenness={axis: evenness(travel(restore, photos, axis, sliders, STEPS, device)) for axis in AXES},
        off_rms=max(changed),
    )


def _degraded(photo: EvalPhoto, degradation: Degradation) -> Image:
    return photo.degraded[degraded_grid().index(degradation)]


@torch.no_grad()
def travel(
    restore: Restore, photos: Sequence[EvalPhoto], axis: str, sliders: Sliders, steps: int, device: torch.device
) -> list[float]:
    """How far the output moves with each of so many equal moves of one slider, from 0 to 1, the others at 0.

    Returns:
        RMS in 8-bit steps, mean over the photos, each fully degraded on this axis alone.
    """
    places = [[step / steps if name == axis else 0.0 for name in AXES] for step in range(steps + 1)]
    tasks_BD = torch.tensor([sliders.task(place) for place in places], dtype=torch.float32, device=device)
    moves = []
    for photo in photos:
        image_BCHW = to_batch([_degraded(photo, ALONE[axis][-1])], device)
        outputs = restore(image_BCHW.expand(len(tasks_BD), -1, -1, -1), tasks_BD).clamp(0, 1)
        moves.append([float(255 * (b - a).square().mean().sqrt()) for a, b in itertools.pairwise(outputs)])
    return [float(move) for move in np.mean(moves, axis=0)]


def evenness(steps: Sequence[float]) -> float:
    """(sum)^2 / (n x sum of squares) of the steps of a slider's travel: 1 is even, 1/n a jump; 0 where none moves."""
    squares = sum(step**2 for step in steps)
    return sum(steps) ** 2 / (len(steps) * squares) if squares else 0.0


def rms(a: Image, b: Image) -> float:
    """Root of the mean squared difference, 8-bit steps."""
    return float(np.sqrt(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))
