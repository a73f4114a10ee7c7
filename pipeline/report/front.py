"""The front of a search as one interactive page that needs nothing beside it: every trial, at any number of them.

plotly draws it (MIT licence); its script, 4.8 MB, lies inside the page, so that it opens without a network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2

TEMPLATE = Path(__file__).with_name("front.html")
AXES = {
    "flops_ratio_m27": "FLOPs at 27 effects, share of dense",
    "latency_ratio_m27": "time per effect of 27, share of dense",
    "flops_ratio_m1": "FLOPs at one effect, share of dense",
}
"""What the horizontal axis may show; the search's own first."""

_TICKS = [a * 10.0**b for b in range(-4, 1) for a in (1, 2, 5)]
_GREYS = ("#7f8790", "#a0825f", "#7a94a8", "#9a86a4", "#7d9a7a")

State = Literal["front", "finished", "infeasible"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial with figures.

    Attributes:
        state: on the front; feasible and dominated; or with figures and not to be picked.
        psnr_db: on the validation photos.
        figures: of `AXES`, as far as they are known.
        weakest: how far the output follows its weakest slider, as a share of the dense network's.
        shared_pct: selection points that are task-agnostic.
        point: what was searched over.
        pick: rules that picked it, joined by ", ".
        run_id: its run in MLflow.
        reason: why it is infeasible.
    """

    number: int
    state: State
    variant: str
    psnr_db: float
    figures: Mapping[str, float]
    weakest: float
    shared_pct: float
    point: Mapping[str, float]
    pick: str = ""
    run_id: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Other:
    """A trial without figures: running, stopped or failed, and why."""

    number: int
    state: str
    variant: str
    reason: str = ""
    run_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search.

    Attributes:
        study: its key.
        run_id: its run in MLflow.
        label: for people.
    """

    study: str
    run_id: str
    label: str
    points: Sequence[Point] = ()
    others: Sequence[Other] = ()


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the page shows.

    Attributes:
        experiment_id: MLflow's.
        server: address of the MLflow server where it is known; the page finds a local one by where it is opened.
        search: that runs or ran last.
        cost: the figure that it minimises, of `AXES`.
        dense_psnr_db: of the dense network, on the same photos.
        status: a line on how it goes.
        running: whether more is to come.
        earlier: other searches of the experiment, whose fronts are drawn below.
    """

    experiment_id: str
    server: str
    search: Search
    cost: str
    dense_psnr_db: float
    status: str
    running: bool
    earlier: Sequence[Search] = field(default=())


def front_page(front: Front) -> str:
    """The page, HTML."""
    import plotly.io
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=_percent)
    chart = json.loads(plotly.io.to_json(_figure(front)))
    points = sorted(front.search.points, key=lambda point: _rank(point, front.cost))
    facts = {
        "experiment": front.experiment_id,
        "server": front.server,
        "running": front.running,
        "trials": {point.run_id or str(point.number): asdict(point) for point in points},
        "study": front.search.study[:8],
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        front=front,
        points=points,
        axes=[name for name in AXES if any(name in point.figures for point in points)],
        short={"flops_ratio_m27": "FLOPs, 27 effects", "latency_ratio_m27": "time, 27", "flops_ratio_m1": "FLOPs, one"},
        chart=_in_script(chart),
        facts=_in_script(facts),
        script=get_plotlyjs(),
    )


def _rank(point: Point, cost: str) -> tuple[int, float]:
    """The front by rising cost, then the others by falling PSNR, then what is infeasible."""
    order = ("front", "finished", "infeasible").index(point.state)
    return order, point.figures[cost] if order == 0 else -point.psnr_db


def _figure(front: Front) -> Any:
    import plotly.graph_objects as go

    axes = [front.cost, *(name for name in AXES if name != front.cost)]
    shown = [name for name in axes if all(name in point.figures for point in front.search.points)] or [front.cost]
    traces, xs = [], []
    for index, search in enumerate(front.earlier):
        trace, x = _earlier(search, _GREYS[index % len(_GREYS)], shown)
        traces.append(trace)
        xs.append(x)
    for state in ("finished", "infeasible", "line", "front", "dense"):
        trace, x = _trace(state, front, shown)
        traces.append(trace)
        xs.append(x)
    menu = [
        {
            "label": AXES[name],
            "method": "update",
            "args": [{"x": [x[name] for x in xs]}, {"xaxis.title.text": AXES[name]}],
        }
        for name in shown
    ]
    figure = go.Figure(data=traces)
    figure.update_layout(
        template="none",
        height=560,
        margin={"l": 64, "r": 16, "t": 24, "b": 56},
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={
            "title": {"text": AXES[front.cost]},
            "type": "log",
            "tickvals": _TICKS,
            "ticktext": [_percent(tick) for tick in _TICKS],
        },
        yaxis={"title": {"text": "PSNR, dB (validation photos)"}, "tickformat": ".2f"},
        coloraxis={
            "colorscale": "Viridis",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {
                "title": {"text": "weakest slider,<br>share of dense"},
                "tickformat": ".0%",
                "thickness": 14,
                "len": 0.8,
            },
        },
    )
    if len(menu) > 1:
        figure.update_layout(updatemenus=[{"buttons": menu, "x": 1, "xanchor": "right", "y": 1.16, "yanchor": "top"}])
    return figure


def _trace(state: str, front: Front, shown: Sequence[str]) -> tuple[Any, dict[str, list[float]]]:
    import plotly.graph_objects as go

    if state == "dense":
        mark = {"symbol": "star", "size": 15, "color": "#d55e00"}
        trace = go.Scatter(
            x=[1.0],
            y=[front.dense_psnr_db],
            mode="markers+text",
            text=["dense"],
            textposition="bottom center",
            marker=mark,
            name="dense network",
            hovertemplate=f"dense network<br>{front.dense_psnr_db:.2f} dB<extra></extra>",
        )
        return trace, {name: [1.0] for name in shown}
    wanted = "front" if state == "line" else state
    points = sorted(
        (point for point in front.search.points if point.state == wanted), key=lambda point: point.figures[front.cost]
    )
    x = {name: [point.figures[name] for point in points] for name in shown}
    y = [point.psnr_db for point in points]
    if state == "line":
        trace = go.Scatter(
            x=x[front.cost],
            y=y,
            mode="lines",
            line={"shape": "hv", "width": 1.6, "color": "#8a6d1f"},
            hoverinfo="skip",
            name="front",
            showlegend=False,
        )
        return trace, {name: x[name] if name == front.cost else [] for name in shown}
    look = {
        "front": {"symbol": "circle", "size": 12, "line": {"width": 2, "color": "#c8102e"}},
        "finished": {"symbol": "circle", "size": 8, "opacity": 0.55, "line": {"width": 0}},
        "infeasible": {"symbol": "x", "size": 8, "opacity": 0.7, "line": {"width": 0}},
    }[state]
    named = {"front": "on the front", "finished": "finished", "infeasible": "infeasible (control)"}[state]
    trace = go.Scatter(
        x=x[front.cost],
        y=y,
        mode="markers+text" if state == "front" else "markers",
        text=[point.pick for point in points] if state == "front" else None,
        textposition="top center",
        cliponaxis=False,
        marker={**look, "color": [min(1.0, point.weakest) for point in points], "coloraxis": "coloraxis"},
        name=f"{named} ({len(points)})",
        customdata=[[point.run_id or str(point.number)] for point in points],
        hovertext=[_hover(point) for point in points],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    return trace, x


def _earlier(search: Search, colour: str, shown: Sequence[str]) -> tuple[Any, dict[str, list[float]]]:
    import plotly.graph_objects as go

    points = sorted(
        (point for point in search.points if all(name in point.figures for name in shown)),
        key=lambda point: point.figures[shown[0]],
    )
    x = {name: [point.figures[name] for point in points] for name in shown}
    trace = go.Scatter(
        x=x[shown[0]],
        y=[point.psnr_db for point in points],
        mode="lines+markers",
        line={"shape": "hv", "width": 1, "dash": "dot", "color": colour},
        marker={"symbol": "diamond-open", "size": 7, "color": colour},
        name=search.label,
        customdata=[[point.run_id] for point in points],
        hovertext=[f"{search.label}<br>{_hover(point)}" for point in points],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    return trace, x


def _hover(point: Point) -> str:
    costs = [f"{_percent(point.figures[name])} {AXES[name]}" for name in AXES if name in point.figures]
    tuned = ", ".join(f"{name} {value:.2g}" for name, value in point.point.items())
    head = f"<b>trial {point.number}</b>, {point.variant}" + (f" ({point.pick})" if point.pick else "")
    weakest = f"weakest slider {point.weakest:.0%} of dense" if math.isfinite(point.weakest) else ""
    lines = [head, f"{point.psnr_db:.2f} dB", *costs, weakest, tuned, point.reason]
    return "<br>".join(line for line in lines if line)


def _percent(share: float) -> str:
    """Two digits that matter: 0.4 %, 3.1 %, 27 %."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def _in_script(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
