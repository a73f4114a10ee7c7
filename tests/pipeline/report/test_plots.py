from __future__ import annotations

import dataclasses
import io
import itertools
import math
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from pipeline.report.plots import Plot, flops_over_m, flops_over_task, pareto, render, spots
from pipeline.report.theme import DARK, LIGHT, Theme
from tests.pipeline.report.factory import metrics, network, trial

PLOTS = (pareto, flops_over_m, flops_over_task)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("plot", PLOTS)
def test_files_are_whole_and_equal_when_drawn_again(plot: Plot) -> None:
    svg, png = render(plot, metrics(), "svg", DARK), render(plot, metrics(), "png")
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not list(root.iter("{http://www.w3.org/2000/svg}image"))
    assert svg == render(plot, metrics(), "svg", DARK)
    with Image.open(io.BytesIO(png)) as image:
        assert min(image.size) > 600


def test_settings_of_matplotlib_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    render(pareto, metrics(), "svg", DARK)
    assert dict(matplotlib.rcParams) == before


def test_pareto_shows_every_trial_the_front_the_picks_and_dense() -> None:
    axes = pareto(metrics(), LIGHT).axes[0]
    front, dense = axes.lines
    assert list(front.get_ydata()) == [25.41, 26.02, 26.31, 26.44, 26.55, 26.71]
    assert list(front.get_xdata()) == sorted(front.get_xdata())
    assert dense.get_ydata()[0] == 27.02
    assert sum(len(points.get_offsets()) for points in axes.collections) == 10 + 1
    assert {text.get_text() for text in axes.texts} == {"knee", "budget", "best", "dense network, 27.02 dB"}
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    "front",
    [(), (trial(0, 26.0, 0.1),), (trial(0, math.nan, 0.1), trial(1, 26.0, 0.2, pick="$x^$"), trial(2, 25.0, 0.0))],
)
def test_pareto_of_few_or_strange_trials(front: tuple[object, ...]) -> None:
    render(pareto, metrics(front=front, dense_valid_psnr_db=None), "svg")


def test_flops_over_m_has_a_line_per_network() -> None:
    axes = flops_over_m(metrics(), LIGHT).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [27] * 4
    knee = axes.lines[1].get_ydata()
    assert knee[0] == pytest.approx(0.255)
    assert all(later < earlier for earlier, later in itertools.pairwise(knee))


def test_bars_pay_the_shared_part_once() -> None:
    axes = flops_over_task(metrics(picks=(network(shared=0.2),)), LIGHT).axes
    assert [panel.get_title() for panel in axes] == ["deblur", "denoise", "dejpeg", "all three"]
    each, once, saved = (list(container) for container in axes[0].containers)
    assert [len(each), len(once), len(saved)] == [4, 1, 3]
    assert once[0].get_height() == pytest.approx(0.2)
    assert once[0].get_y() == pytest.approx(each[0].get_height())
    assert all(bar.get_facecolor()[3] == 0 for bar in saved)


def test_a_network_without_costs_over_the_task() -> None:
    render(flops_over_task, metrics(picks=(dataclasses.replace(network(), flops_by_task={}),)), "svg")


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_text_and_series_stand_out(theme: Theme) -> None:
    assert min(contrast(colour, theme.paper) for colour in (theme.ink, theme.muted)) >= 4.5
    assert min(contrast(colour, theme.paper) for colour in theme.series) >= 3


def test_a_spot_lies_where_its_trial_is_drawn() -> None:
    """Every spot hits a pixel of its variant's colour, or the rim of a hollow marker around it."""
    image = np.asarray(Image.open(io.BytesIO(render(pareto, metrics(), "png"))).convert("RGB")).astype(int)
    height, width, _ = image.shape
    made = spots(metrics())
    assert len(made) == len(metrics().front)
    for spot in made:
        row, column = round(spot.top * height), round(spot.left * width)
        around = image[row - 12 : row + 13, column - 12 : column + 13].reshape(-1, 3)
        assert (np.ptp(around, axis=1) > 60).any(), f"nothing coloured at trial {spot.trial.number}"
