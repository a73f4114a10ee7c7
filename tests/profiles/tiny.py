"""The quick profile made so small that the whole pipeline takes about a minute: smaller numbers, the same code."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

QUICK = Path(__file__).parents[2] / "profiles" / "quick.yaml"

TINY: dict[str, Any] = {
    "eval": {"crop": 48, "valid_crops": 2, "test_crops": 2},
    "network": {"width": 8, "blocks": 1},
    "train": {
        "patch": 16,
        "batch": 8,
        "lr": 3.0e-3,
        "controller_lr": 2.0e-2,
        "decay": "cosine",
        "clip": 1.0,
        "threads": 1,
        "device": "cpu",
    },
    "pretrain": {"iterations": 500},
    "search": {
        "trials": 3,
        "schedule": {"iterations": 100, "warmup": 0.2, "specific": 0.4, "agnostic": 0.7},
        "variants": ["TA+TSNet", "TSNet"],
        "method": {"min_channels": 4, "controller_hidden": 8, "specific_points": 0},
        "control": {"gain": -10.0, "off_rms": 0.5},  # so short a training owes no gain
        "space": {
            "lambda1": {"low": 1.0e-3, "high": 2.0e-2},
            "lambda2": {"low": 1.0e-4, "high": 1.0e-3},
            "gamma": {"low": 0.8, "high": 0.95},
        },
        "suggestions": [
            {"variant": "TSNet", "lambda1": 1.0e-2, "lambda2": 1.0e-4, "gamma": 0.9},
            {"variant": "TA+TSNet", "lambda1": 1.0e-2, "lambda2": 1.0e-4, "gamma": 0.9},
        ],
        "resources": {"concurrent": 2, "cpus_per_trial": 1.0, "max_failures": 0},
    },
    "select": {"picks": ["knee", "best"], "budgets": [0.9, 0.01]},
    "finetune": {"iterations": 30, "processes": 2},
    "benchmark": {"sizes": ["64x48"], "repeats": 1, "best_of_27_crops": 1},
    "tracking": {"experiment": "tiny", "model": "tiny"},
}

PHOTOS = {"train": [(96, 128)] * 3, "valid": [(64, 64)] * 2, "test": [(192, 192), (64, 65)]}
"""Height and width of the drawn photos; the first test photo is large enough for NIQE."""


def draw_photo(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """Patches of colour with hard edges: blur, noise and JPEG all do it great harm, so every slider is soon learnt.

    So that no test of the whole pipeline fails by a training's bad luck.
    """
    rng = np.random.default_rng(seed)
    photo = np.full((height, width, 3), 128, np.uint8)
    for _ in range(height * width // 100):
        top, left = rng.integers(0, height), rng.integers(0, width)
        down, across = rng.integers(4, 20, 2)
        photo[top : top + down, left : left + across] = rng.integers(0, 256, 3)
    return photo


def tiny_photos(folder: Path) -> Path:
    """Drawn photos in the layout of a folder dataset."""
    for split, sizes in PHOTOS.items():
        (folder / split).mkdir(parents=True)
        for index, (height, width) in enumerate(sizes):
            photo = draw_photo(height, width, seed=100 * len(split) + index)
            Image.fromarray(photo).save(folder / split / f"{split}{index}.png")
    return folder


def tiny_profile(path: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write the tiny profile to `path`, with `changes` (nested, or dotted names) put over it."""
    values = _merged(yaml.safe_load(QUICK.read_text(encoding="utf-8")), TINY)
    for name, value in (changes or {}).items():
        nested: Any = value
        for part in reversed(name.split(".")):
            nested = {part: nested}
        values = _merged(values, nested)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = deepcopy(dict(under))
    for name, value in over.items():
        inside = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = _merged(result[name], value) if inside else deepcopy(value)
    return result
