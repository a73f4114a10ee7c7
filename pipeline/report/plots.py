"""The plots of the report: the Pareto front, FLOPs over M, FLOPs over the task vector (the paper's Figure 5)."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.report.schema import Metrics, NetworkFigures, TrialPoint
from pipeline.report.theme import DASHES, LIGHT, MARKERS, Theme, rc

Plot = Callable[[Metrics, Theme], Figure]

_LONGEST = 32
_NAMES_WIDTH = 50
"""Letters of a point's name that the width of a plot holds."""


def render(plot: Plot, metrics: Metrics, kind: str, theme: Theme = LIGHT) -> bytes:
    """A plot as the bytes of an `svg` or a `png` file; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(rc(theme)):
        figure = plot(metrics, theme)
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


def pareto(metrics: Metrics, theme: Theme) -> Figure:
    """PSNR over FLOPs at M = 27 of every finished trial; the front joined, picks named, dense as reference."""
    figure, axes = _single(7.0, 4.7)
    trials = [t for t in metrics.front if _is_drawn(t)]
    variants = sorted({t.variant for t in trials})
    front = sorted((t for t in trials if t.pareto), key=lambda t: t.flops_ratio_m27)
    if front:
        x, y = [t.flops_ratio_m27 for t in front], [t.psnr_db for t in front]
        axes.plot(x, y, color=theme.muted, linewidth=1.4, zorder=2, label="Pareto front")
    for index, variant in enumerate(variants):
        colour, marker = theme.series[index % len(theme.series)], MARKERS[index % len(MARKERS)]
        for on in (True, False):
            points = [t for t in trials if t.variant == variant and t.pareto is on]
            axes.scatter(
                [t.flops_ratio_m27 for t in points],
                [t.psnr_db for t in points],
                s=58,
                marker=marker,
                facecolor=colour if on else theme.paper,
                edgecolor=colour,
                linewidth=1.5,
                zorder=4,
                label=_plain(variant) if on else None,
            )
    _dense_line(axes, metrics.dense_valid_psnr_db, theme)
    _percent_axis(axes.xaxis, axes.set_xscale)
    axes.set_xlim(min([t.flops_ratio_m27 for t in trials], default=0.1) / 2, 1.25)
    axes.margins(y=0.14)
    for trial in (t for t in trials if t.pick):
        _name_point(axes, _plain(str(trial.pick)), (trial.flops_ratio_m27, trial.psnr_db), theme)
    axes.set_xlabel("FLOPs per effect at M = 27, share of dense (log scale)")
    axes.set_ylabel("PSNR, validation photos (dB)")
    if trials:
        axes.legend(loc="lower right")
    return figure


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a trial stands on the plot `pareto`: shares of its width from the left and of its height from the top."""

    trial: TrialPoint
    left: float
    top: float


def spots(metrics: Metrics) -> tuple[Spot, ...]:
    """Of every trial on the plot."""
    with matplotlib.rc_context(rc(LIGHT)):
        figure = pareto(metrics, LIGHT)
        figure.draw_without_rendering()
    shares = figure.axes[0].transData + figure.transFigure.inverted()
    drawn = [trial for trial in metrics.front if _is_drawn(trial)]
    places = [shares.transform((trial.flops_ratio_m27, trial.psnr_db)) for trial in drawn]
    return tuple(Spot(trial=t, left=float(x), top=1 - float(y)) for t, (x, y) in zip(drawn, places, strict=True))


def _is_drawn(trial: TrialPoint) -> bool:
    return math.isfinite(trial.psnr_db) and trial.flops_ratio_m27 > 0


def flops_over_m(metrics: Metrics, theme: Theme) -> Figure:
    """Average FLOPs per effect over the number of effects made of one photo, dense and picks (eq. 4)."""
    figure, axes = _single(7.0, 4.7)
    dense = metrics.dense.flops_by_m or ((1, 1.0), (27, 1.0))
    axes.plot(*zip(*dense, strict=True), color=theme.muted, linewidth=1.6, linestyle=(0, (4, 3)), label="dense")
    for index, pick in enumerate(metrics.picks):
        axes.plot(
            [m for m, _ in pick.flops_by_m],
            [ratio for _, ratio in pick.flops_by_m],
            color=theme.series[index % len(theme.series)],
            linestyle=DASHES[index % len(DASHES)],
            linewidth=2.2,
            label=_plain(f"{pick.name} ({pick.variant})"),
        )
    _percent_axis(axes.yaxis, axes.set_yscale)
    axes.set_xlim(0.5, 27.5)
    axes.set_xticks([1, 3, 6, 9, 12, 15, 18, 21, 24, 27])
    axes.set_xlabel("M, effects made of one photo")
    axes.set_ylabel("FLOPs per effect, share of dense (log scale)")
    axes.margins(y=0.12)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9), ncols=2)
    return figure


def flops_over_task(metrics: Metrics, theme: Theme) -> Figure:
    """FLOPs of four effects in a row per slider: the shared part once, the task-specific part for each (Figure 5)."""
    keys = list(dict.fromkeys(key for pick in metrics.picks for key in pick.flops_by_task))
    rows, columns = len(metrics.picks), max(len(keys), 1)
    figure = Figure(figsize=(2.1 + 2.35 * columns, 0.9 + 2.15 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey="row", squeeze=False)
    for row, pick in enumerate(metrics.picks):
        for column, key in enumerate(keys):
            _bars(grid[row][column], pick, key, theme)
            if row == 0:
                grid[row][column].set_title("all three" if key == "joint" else _plain(key))
            if row == rows - 1:
                grid[row][column].set_xlabel("slider")
        grid[row][0].set_ylabel(_plain(f"{pick.name}\n({pick.variant})"))
    figure.legend(handles=_legend(theme), loc="outside upper center", ncols=3)
    figure.supylabel("FLOPs, share of dense", fontsize=11.5)
    return figure


def _bars(axes: Any, pick: NetworkFigures, key: str, theme: Theme) -> None:
    costs = pick.flops_by_task.get(key, ())
    places = range(len(costs))
    once, each = [c.shared for c in costs], [c.specific for c in costs]
    axes.bar(places, each, width=0.66, color=theme.series[0])
    if costs:
        axes.bar(places[:1], once[:1], bottom=each[:1], width=0.66, color=theme.series[1])
        style = {"facecolor": "none", "edgecolor": theme.muted, "linestyle": (0, (2, 2)), "linewidth": 1}
        axes.bar(places[1:], once[1:], bottom=each[1:], width=0.66, **style)
    axes.set_xticks(list(places), [f"{c.level:g}" for c in costs])
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))


def _legend(theme: Theme) -> list[Patch]:
    return [
        Patch(color=theme.series[0], label="task-specific, for every effect"),
        Patch(color=theme.series[1], label="shared, first effect only"),
        Patch(facecolor="none", edgecolor=theme.muted, linestyle=(0, (2, 2)), label="shared, already computed: saved"),
    ]


def _dense_line(axes: Any, psnr_db: float | None, theme: Theme) -> None:
    if psnr_db is None or math.isnan(psnr_db):
        return
    axes.axhline(psnr_db, color=theme.muted, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
    axes.scatter([1.0], [psnr_db], s=150, marker="*", color=theme.ink, zorder=5, clip_on=False)
    axes.annotate(
        f"dense network, {psnr_db:.2f} dB",
        (1.0, psnr_db),
        xytext=(-10, 7),
        textcoords="offset points",
        ha="right",
        color=theme.ink,
    )


def _name_point(axes: Any, name: str, at: tuple[float, float], theme: Theme) -> None:
    """Up and to the left of a point on the front there is no other; where no room is left, below it."""
    inside = axes.transAxes.inverted().transform(axes.transData.transform(at))[0] * _NAMES_WIDTH > len(name)
    place, side = ((-7, 7), "right") if inside else ((0, -16), "left")
    axes.annotate(
        name, at, xytext=place, textcoords="offset points", ha=side, color=theme.ink, fontweight="bold", zorder=6
    )


def _single(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _percent_axis(axis: Any, set_scale: Callable[[str], None]) -> None:
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(_percent))
    axis.set_minor_formatter(NullFormatter())


def _percent(share: float, _: object = None) -> str:
    return f"{100 * share:.3g} %"


def _plain(text: str) -> str:
    """Text that matplotlib draws as it is, not as mathematics, and not longer than a plot can hold."""
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…").replace("$", r"\$")
