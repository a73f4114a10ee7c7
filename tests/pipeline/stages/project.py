"""A project folder for one stage's work, without DVC and without a tracker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.common.files import write_manifest
from pipeline.common.layout import CLEAN
from pipeline.config import load
from pipeline.stages.runner import Context
from pipeline.tracking import NullRun, NullTracker
from tests.pipeline.search.jobs import smooth_photo
from tests.pipeline.search.spaces import obeys
from tests.profiles.tiny import tiny_profile

SIZES: Mapping[str, Sequence[tuple[int, int]]] = {
    "train": [(50, 64), (48, 40)],
    "valid": [(50, 50)],
    "test": [(48, 90), (60, 48)],
}


def context(root: Path, changes: Mapping[str, Any] | None = None) -> Context:
    """The context that a stage's work gets, with the tiny profile and nothing recorded."""
    params = load(tiny_profile(root / "params.yaml", changes))
    return Context(root=root, params=params, tracker=NullTracker(), run=NullRun())


def clean_photos(root: Path, sizes: Mapping[str, Iterable[tuple[int, int]]] = SIZES) -> Path:
    """What the download stage leaves: photos of (height, width) per split, and their manifest."""
    folder = root / CLEAN
    for split, shapes in sizes.items():
        (folder / split).mkdir(parents=True)
        for index, (height, width) in enumerate(shapes):
            photo = smooth_photo(height, width, seed=index + 10 * len(split))
            Image.fromarray(photo).save(folder / split / f"{split}{index}.png")
    write_manifest(folder)
    return folder


def trial_row(number: int, psnr_db: float, flops: float, state: str = "finished", share: float = 1.0) -> dict[str, Any]:
    """A row of `search/trials.json`."""
    figures = {
        "psnr_db": psnr_db,
        "flops_ratio_m1": min(1.0, 2 * flops),
        "flops_ratio_m27": flops,
        "shared_layers_pct": 50.0,
        **obeys(share),
    }
    return {
        "number": number,
        "state": state,
        "reason": None if state == "finished" else "diverged: the loss became nan",
        "variant": "TSNet" if number % 2 else "TA+TSNet",
        "lambda1": 1e-3,
        "lambda2": 0.0,
        "gamma": 0.9,
        "metrics": figures if psnr_db else {},
        "folder": f"{number:04d}",
    }


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
