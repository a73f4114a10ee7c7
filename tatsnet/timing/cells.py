"""What a benchmark measured: one cell per network, image size, device, threads and runtime."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

DENSE = "dense"
ENGINES = ("torch", "numba", "onnxruntime", "openvino", "triton")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Time per effect of one network.

    Attributes:
        network: `dense`, or what it is beside it.
        size: WIDTHxHEIGHT in pixels.
        device: `cpu` or `cuda`.
        threads: that computed; 0 on an accelerator.
        runtime: that computed; the dense network of the same cell had the same.
        precision: in which both computed.
        effects: of one image that were made per round; the task-agnostic part's time is spread over all 27.
        ms_per_effect: median over the rounds.
        spread_pct: (slowest - fastest) / median over the rounds, in %.
        rounds: counted.
        gflops_per_effect: at M = 27, by eq. 4.
        gbytes_per_effect: that convolutions move at least, in this precision, one after the other (`traffic`).
        flops_ratio: of dense.
        ratio_to_dense: the dense network's time over this one's.
        share_of_cut: of the FLOPs cut that became time: ratio_to_dense x flops_ratio; 1 is as fast as the FLOPs say.
    """

    network: str
    size: str
    device: str
    threads: int
    runtime: str
    precision: str
    effects: int
    ms_per_effect: float
    spread_pct: float
    rounds: int
    gflops_per_effect: float
    gbytes_per_effect: float
    flops_ratio: float
    ratio_to_dense: float
    share_of_cut: float


def machine() -> dict[str, Any]:
    """The processor, the accelerator, and the versions that a figure depends on."""
    versions: dict[str, str | None] = {}
    for name in ENGINES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "cpu": processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def to_json(cells: Sequence[Cell]) -> dict[str, Any]:
    """The machine and every cell, as plain values."""
    return {"schema": 1, "machine": machine(), "cells": [asdict(cell) for cell in cells]}


def table(cells: Sequence[Cell]) -> str:
    """Table 1 of the paper as Markdown: a row per network, a column per size and place."""
    columns = list(dict.fromkeys(_column(cell) for cell in cells))
    rows = list(dict.fromkeys(cell.network for cell in cells))
    found = {(cell.network, *_column(cell)): cell for cell in cells}
    lines = ["| per effect of 27 | FLOPs | " + " | ".join(_heading(*column) for column in columns) + " |"]
    lines.append("|:--" + "|--:" * (len(columns) + 1) + "|")
    for row in rows:
        ratio = next(cell.flops_ratio for cell in cells if cell.network == row)
        texts = [_text(found.get((row, *column))) for column in columns]
        lines.append(f"| {row} | {100 * ratio:.1f} % | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def across(cells: Sequence[Cell]) -> str:
    """Where several runtimes were measured at one place: each network at its best against the fastest dense network."""
    places: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        places.setdefault((cell.size, _where(cell.device, cell.threads), cell.precision), []).append(cell)
    lines: list[str] = []
    for place, found in places.items():
        dense = [cell for cell in found if cell.network == DENSE]
        if len({cell.runtime for cell in dense}) < 2:
            continue
        bar = min(dense, key=lambda cell: cell.ms_per_effect)
        lines.append(f"{', '.join(place)}: of the dense networks {bar.runtime}'s is the fastest, {_text(bar)}.")
        for name in dict.fromkeys(cell.network for cell in found if cell.network != DENSE):
            best = min((cell for cell in found if cell.network == name), key=lambda cell: cell.ms_per_effect)
            lines.append(f"  {name}: {bar.ms_per_effect / best.ms_per_effect:.1f}x that with {best.runtime}")
    return "\n".join(lines)


def _column(cell: Cell) -> tuple[str, str, int, str, str]:
    return cell.size, cell.device, cell.threads, cell.runtime, cell.precision


def _heading(size: str, device: str, threads: int, runtime: str, precision: str) -> str:
    return f"{size}, {_where(device, threads)}, {runtime}{'' if precision == 'float32' else f', {precision}'}"


def _where(device: str, threads: int) -> str:
    return device if device != "cpu" else f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    time = f"{cell.ms_per_effect:.1f} ms" if cell.ms_per_effect < 10_000 else f"{cell.ms_per_effect / 1000:.1f} s"
    if cell.network == DENSE:
        return time
    return f"{time}, {cell.ratio_to_dense:.1f}x ({cell.share_of_cut:.2f})"
