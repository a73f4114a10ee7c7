"""Fits and measures the estimate behind the demo's Auto: `python -m benchmarks.estimation FOLDER [--fit OTHER]`.

Every photo of FOLDER gets known degradations; printed is by how much the estimate misses them on average, in levels
(0 to 1) and in pixels of blur, steps of noise and of JPEG quality, beside a guess that always says the mean. With
--fit the coefficients are first fitted to the photos of another folder, and written beside
`tatsnet/quality/estimation.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tatsnet.data.degradation import Degradation, degrade
from tatsnet.network.tasks import AXES
from tatsnet.photos.files import list_images, read_photo, to_uint8
from tatsnet.quality.estimation import COEFFICIENTS, Floats, estimate, expanded, features

RIDGE = 1.0
UNITS = ((4, "pixels of blur"), (50, "steps of noise"), (92, "steps of JPEG quality"))


def drawn(rng: np.random.Generator) -> Degradation:
    """A degradation; on each axis nothing in one of four cases."""
    blur, noise, jpeg = rng.random(3) * (rng.random(3) > 0.25)
    return Degradation(4 * blur, 50 * noise, round(100 - 90 * jpeg) if jpeg else None)


def pairs(folder: Path, each: int, seed: int) -> list[tuple[np.ndarray, tuple[float, float, float]]]:
    """Degraded photos and the levels that undo what was done to them."""
    rng, made = np.random.default_rng(seed), []
    for path in list_images(folder):
        photo = to_uint8(read_photo(path).rgb_HWC)
        for degradation in [drawn(rng) for _ in range(each)]:
            made.append((degrade(photo, degradation, rng).astype(np.float32) / 255, degradation.task))
    return made


def fit(folder: Path, each: int) -> None:
    """Fit the coefficients by least squares with a small penalty, and write them."""
    examples = pairs(folder, each, seed=1)
    seen_NF = np.array([features(photo) for photo, _ in examples])
    mean, scale = seen_NF.mean(axis=0), seen_NF.std(axis=0)
    terms: Floats = np.array([expanded(row) for row in (seen_NF - mean) / scale])
    wanted = np.array([task for _, task in examples])
    weights = np.linalg.solve(terms.T @ terms + RIDGE * np.eye(terms.shape[1]), terms.T @ wanted)
    rows = [mean, scale, *weights]
    COEFFICIENTS.write_text("".join(",".join(f"{value:.6g}" for value in row) + "\n" for row in rows))
    print(f"fitted to {len(examples)} degraded photos")


def measure(folder: Path, each: int) -> None:
    """Print the errors."""
    examples = pairs(folder, each, seed=2)
    told = np.array([estimate(photo).task for photo, _ in examples])
    true = np.array([task for _, task in examples])
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
