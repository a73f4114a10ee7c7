"""A measured network as a version of the registered model, and which aliases may come to point at it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.report.card import Origin, artifact_address, model_card, tags_of
from pipeline.report.contact import sheet_jpeg
from pipeline.report.pictures import Pictures
from pipeline.report.schema import NetworkFigures
from pipeline.tracking import Run, Tracker

TOLERANCE_DB = 0.05
"""PSNR differences up to this are no reason to keep or refuse a network."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What came of a registration.

    Attributes:
        version: empty where nothing was recorded.
        moved: each alias with what it pointed at before, in words; empty text where it is new.
        kept: each alias that still points at an earlier version, with the reason.
    """

    version: str
    moved: Mapping[str, str]
    kept: Mapping[str, str]

    def said(self, model: str) -> list[str]:
        """Lines for the terminal."""
        lines = [f"registered {model} version {self.version or '(not recorded)'}"]
        lines += [
            f"{model}@{alias} is now this one{before and f'; it was {before}'}" for alias, before in self.moved.items()
        ]
        lines += [
            f"WARNING {model}@{alias} stays where it is: {reason}. "
            f"To move it all the same: python -m pipeline promote {model}/{self.version} {alias} --force"
            for alias, reason in self.kept.items()
        ]
        return lines


def register_network(
    tracker: Tracker,
    run: Run,
    model: str,
    folder: Path,
    figures: NetworkFigures,
    origin: Origin,
    aliases: Sequence[str],
    pictures: Pictures,
) -> Registered:
    """Register an extracted network with its figures, its card and the aliases that it deserves.

    An alias stays with the version that has it where that one is better in everything: see `worse`.

    Args:
        run: that keeps the files and the contact sheet.
        folder: of the extracted network.
        pictures: for the contact sheet on the card.
    """
    tags = tags_of(figures, origin)
    moved, kept = {}, {}
    for alias in aliases:
        holder = tracker.version(model, alias)
        reason = worse(tags, holder.tags) if holder else None
        if holder and reason:
            kept[alias] = f"version {holder.version} {reason}"
        else:
            moved[alias] = f"version {holder.version} ({_figures(holder.tags)})" if holder else ""
    sheet = f"{folder.name}.jpg"
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / sheet).write_bytes(sheet_jpeg(pictures))
        run.artifact(Path(scratch) / sheet, "sheets")
    card = model_card(figures, origin, model, artifact_address(run.id, f"sheets/{sheet}"))
    version = tracker.register(run.id, model, folder, tags=tags, aliases=list(moved), card=card)
    return Registered(version=version, moved=moved, kept=kept)


def worse(new: Mapping[str, str], old: Mapping[str, str]) -> str | None:
    """Why a version with the tags `old` is to keep its alias against `new`; None where it is not.

    It is to where both were measured on the same photos, and the new one restores worse without costing less.
    """
    if new.get("dataset_sha256") != old.get("dataset_sha256"):
        return None
    psnr_db, cost = (tuple(figure_of(tags, name) for tags in (new, old)) for name in ("psnr_db", "flops_ratio_m27"))
    if psnr_db[0] < psnr_db[1] - TOLERANCE_DB and cost[0] >= cost[1]:
        return f"has {_figures(old)}, this one {_figures(new)}"
    return None


def figure_of(tags: Mapping[str, str], name: str) -> float:
    """A figure among a version's tags; NaN where it has none."""
    try:
        return float(tags[name])
    except (KeyError, ValueError):
        return math.nan


def _figures(tags: Mapping[str, str]) -> str:
    return f"{figure_of(tags, 'psnr_db'):.2f} dB at {figure_of(tags, 'flops_ratio_m27'):.1%} of the dense FLOPs"
