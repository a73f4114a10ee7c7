"""The quick profile made so small that the whole pipeline takes about a minute: smaller numbers, the same code."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

QUICK = Path(__file__).parents[2] / "profiles" / "quick.yaml"

TINY: dict[str, Any] = {
    "eval": {"crop": 48, "valid_crops": 2, "test_crops": 2},
    "network": {"width": 8, "blocks": 1},
    "train": {"patch": 16, "batch": 8, "device": "cpu"},
    "pretrain": {"iterations": 150},
    "search": {
        "trials": 3,
        "schedule": {"iterations": 60, "warmup": 0.2, "specific": 0.4, "agnostic": 0.7},
        "method": {"min_channels": 4, "controller_hidden": 8},
        "space": {
            "lambda1": {"low": 1.0e-4, "high": 1.0e-3},
            "lambda2": {"low": 1.0e-4, "high": 1.0e-3},
            "gamma": {"low": 0.8, "high": 0.95},
        },
        "suggestions": [
            {"variant": "TSNet", "lambda1": 1.0e-3, "lambda2": 1.0e-4, "gamma": 0.9},
            {"variant": "TA+TSNet", "lambda1": 1.0e-3, "lambda2": 1.0e-4, "gamma": 0.9},
        ],
    },
    "select": {"picks": ["knee", "best"], "budgets": [0.9, 0.01]},
    "finetune": {"iterations": 30},
    "benchmark": {"sizes": ["64x48"], "repeats": 1, "best_of_27_crops": 1},
    "tracking": {"experiment": "tiny", "model": "tiny"},
}
"""Few and gentle steps from a trained network: no slider dies, so no trial fails by bad luck."""


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
