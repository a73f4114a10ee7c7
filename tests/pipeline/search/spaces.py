"""Search configurations for the tests of the search."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config import Params, SearchConfig, load
from pipeline.config.searching import Range, Space, Suggestion
from tests.profiles.tiny import tiny_profile


def tiny(changes: Mapping[str, Any] | None = None) -> Params:
    """The tiny profile, with changes by dotted name."""
    with tempfile.TemporaryDirectory() as folder:
        return load(tiny_profile(Path(folder) / "params.yaml", changes))


def search_config(**changes: Any) -> SearchConfig:
    """The tiny profile's search, changed."""
    return replace(tiny().search, **changes)


def space(**ranges: tuple[float, float]) -> Space:
    """Ranges by name; the others are wide."""
    wide = {"lambda1": (1e-4, 1e-2), "lambda2": (1e-3, 10.0), "gamma": (0.8, 0.95)}
    return Space(**{name: Range(low=low, high=high) for name, (low, high) in (wide | ranges).items()})


def suggestion(
    variant: str = "TA+TSNet", lambda1: float = 1e-3, lambda2: float = 1.0, gamma: float = 0.9
) -> Suggestion:
    """A suggested point."""
    return Suggestion(variant=variant, lambda1=lambda1, lambda2=lambda2, gamma=gamma)  # type: ignore[arg-type]


def obeys(share: float = 1.0, off_rms: float = 0.0) -> dict[str, Any]:
    """The control of a trial whose every axis gains this share of what the dense network's does."""
    axes = ("deblur", "denoise", "dejpeg")
    return {
        "control": dict.fromkeys(axes, share),
        "gain_db": dict.fromkeys(axes, 4.0 * share),
        "evenness": dict.fromkeys(axes, 0.9),
        "off_rms": off_rms,
        "weakest_slider": share,
    }
