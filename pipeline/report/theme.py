"""Colours and type of the plots, light and dark; series keep apart for colour-blind readers, by shape and dash too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours as #rrggbb; `series` after Okabe and Ito (2008), brightened on dark."""

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1c1e21",
    muted="#5d646c",
    grid="#e3e6ea",
    series=("#0072b2", "#d55e00", "#009e73", "#a8508a", "#b07a00"),
)
DARK = Theme(
    name="dark",
    paper="#1b1e23",
    ink="#eceef1",
    muted="#a4abb4",
    grid="#343a42",
    series=("#56b4e9", "#ff8c42", "#3ccf9f", "#e59bc8", "#f0c14b"),
)
MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 1)))


def rc(theme: Theme) -> dict[str, Any]:
    """Settings of matplotlib, for `matplotlib.rc_context`."""
    return {
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.labelsize": 11.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "hatch.linewidth": 0.8,
        "font.family": "DejaVu Sans",
        "font.size": 11,
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "legend.frameon": False,
        "legend.fontsize": 10.5,
        "svg.fonttype": "path",
        "svg.hashsalt": "tatsnet",
    }
