"""Fits and measures the estimate behind the demo's Auto: `python -m benchmarks.estimation FOLDER [--fit OTHER]`.

Every photo of FOLDER gets known degradations; printed is by how much the estimate misses them on average, in levels
(0 to 1) and in pixels of blur, steps of noise and of JPEG quality, beside a guess that always says the mean. With
--fit the weights are first fitted to the photos of another folder, and written beside
`tatsnet/quality/estimation.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tatsnet.data.degradation import Degradation, degrade
from tatsnet.network.tasks import AXES
from tatsnet.photos.files import list_images, read_photo, to_uint8
from tatsnet.quality.estimation import WEIGHTS, estimate, features, standard

HIDDEN, STEPS, BATCH = 48, 6000, 256
JITTER = 0.02
"""Noise on the statistics while fitting, in their standard deviations."""

UNITS = ((4, "pixels of blur"), (50, "steps of noise"), (92, "steps of JPEG quality"))


def drawn(rng: np.random.Generator) -> Degradation:
    """A degradation; on each axis nothing in one of four cases."""
    blur, noise, jpeg = rng.random(3) * (rng.random(3) > 0.25)
    return Degradation(4 * blur, 50 * noise, round(100 - 90 * jpeg) if jpeg else None)


def pairs(folder: Path, each: int, seed: int) -> Iterator[tuple[np.ndarray, tuple[float, float, float]]]:
    """Degraded photos and the levels that undo what was done to them."""
    rng = np.random.default_rng(seed)
    for path in list_images(folder):
        photo = to_uint8(read_photo(path).rgb_HWC)
        for degradation in [drawn(rng) for _ in range(each)]:
            yield degrade(photo, degradation, rng).astype(np.float32) / np.float32(255), degradation.task


def fit(folder: Path, each: int) -> None:
    """Fit the layers by the mean absolute error, and write them."""
    seen, wanted = zip(*((features(photo), task) for photo, task in pairs(folder, each, seed=1)), strict=True)
    seen_NF = np.array(seen)
    mean, scale = seen_NF.mean(axis=0), seen_NF.std(axis=0) + 1e-3
    torch.manual_seed(0)
    layers = (nn.Linear(len(mean), HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 3))
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    inputs, targets = torch.from_numpy(standard(seen_NF, mean, scale)).float(), torch.tensor(wanted)
    for _ in range(STEPS):
        rows = torch.randint(len(inputs), (BATCH,))
        told = network(inputs[rows] + JITTER * torch.randn(BATCH, len(mean)))
        optimizer.zero_grad()
        (told - targets[rows]).abs().mean().backward()
        optimizer.step()
        schedule.step()
    found = {
        f"{name}_{kind}": getattr(layer, kind).detach().numpy()
        for name, layer in zip(("first", "second", "last"), layers, strict=True)
        for kind in ("weight", "bias")
    }
    np.savez(WEIGHTS, mean=mean.astype(np.float32), scale=scale.astype(np.float32), **found)
    print(f"fitted to {len(inputs)} degraded photos")


def measure(folder: Path, each: int) -> None:
    """Print the errors."""
    examples = [(estimate(photo).task, task) for photo, task in pairs(folder, each, seed=2)]
    told, true = (np.array(tasks) for tasks in zip(*examples, strict=True))
    print(f"{len(examples)} degraded photos: mean absolute error")
    for axis, name in enumerate(AXES):
        error, guess = np.abs(told - true)[:, axis], np.abs(true.mean(axis=0) - true)[:, axis]
        steps, unit = UNITS[axis]
        print(
            f"{name:8} {error.mean():.3f} (median {np.median(error):.3f}; always the mean {guess.mean():.3f}), "
            f"{steps * error.mean():.1f} {unit}"
        )


def main() -> None:
    """Fit if asked, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--each", type=int, default=6, help="degradations of each photo (default: 6)")
    args = parser.parse_args()
    if args.fit is not None:
        fit(args.fit, args.each)
    measure(args.folder, args.each)


if __name__ == "__main__":
    main()
