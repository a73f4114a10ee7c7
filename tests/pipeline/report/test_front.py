"""The page of a front: all trials in it, the front first, figures with digits that matter, nothing that breaks out."""

from __future__ import annotations

import json
import re

import pytest

from pipeline.report.front import Front, Other, Point, Search, State, _percent, front_page


def point(number: int, state: State, cost: float, psnr_db: float, **changes: str) -> Point:
    return Point(
        number=number,
        state=state,
        variant="TSNet",
        psnr_db=psnr_db,
        figures={"flops_ratio_m27": cost, "flops_ratio_m1": min(1.0, 2 * cost)},
        weakest=0.5,
        shared_pct=30.0,
        point={"lambda1": 1e-3, "lambda2": 0.1, "gamma": 0.9},
        **changes,
    )


POINTS = [
    point(0, "finished", 0.2, 24.0),
    point(1, "front", 0.3, 26.0, pick="best", run_id="abc"),
    point(2, "infeasible", 0.1, 27.0, reason="deblur gains 3%"),
    point(3, "front", 0.03, 25.0, pick="knee"),
    point(4, "finished", 0.4, 25.5),
]


def page(**changes: object) -> str:
    search = Search(
        study="1a2b3c4d5e6f",
        run_id="r",
        label="study 1a2b3c4d",
        points=POINTS,
        others=[Other(number=5, state="failed", variant="TSNet", reason="</script><b>diverged</b>")],
    )
    front = {
        "experiment_id": "1",
        "server": "",
        "search": search,
        "cost": "flops_ratio_m27",
        "dense_psnr_db": 27.5,
        "status": "5 of 5 trials done",
        "running": False,
    }
    return front_page(Front(**(front | changes)))  # type: ignore[arg-type]


def test_the_front_comes_first_by_cost_then_the_others_by_psnr_then_the_infeasible() -> None:
    rows = re.findall(r'<tr class="(\w+)" data-trial="\w+" tabindex="0">\s*<td>(\d)</td>', page())
    assert rows == [("front", "3"), ("front", "1"), ("finished", "4"), ("finished", "0"), ("infeasible", "2")]


def test_the_chart_holds_every_point_the_line_and_the_dense_network() -> None:
    text = re.search(r'id="figure">(.*?)</script>', page(), re.DOTALL)
    assert text is not None
    traces = {trace["name"]: trace for trace in json.loads(text[1])["data"]}
    assert traces["front"]["x"] == [0.03, 0.3]
    assert traces["front"]["line"]["shape"] == "hv"
    assert traces["on the front (2)"]["text"] == ["knee", "best"]
    assert traces["on the front (2)"]["customdata"] == [["3"], ["abc"]]
    assert traces["infeasible (control) (1)"]["marker"]["symbol"] == "x"
    assert traces["dense network"]["y"] == [27.5]
    assert len(traces["finished (2)"]["x"]) == 2


def test_what_a_trial_says_cannot_become_part_of_the_page() -> None:
    made = page()
    assert "<b>diverged</b>" not in made
    assert "&lt;/script&gt;" in made


def test_a_page_without_any_trial_stands() -> None:
    assert "begins" in page(search=Search(study="s", run_id="r", label="study s"), status="begins")


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.271, "27 %"), (0.0314, "3.1 %"), (0.00412, "0.41 %"), (0.0, "0 %"), (-0.3, "-30 %")],
)
def test_a_share_has_two_digits_that_matter(share: float, text: str) -> None:
    assert _percent(share) == text
