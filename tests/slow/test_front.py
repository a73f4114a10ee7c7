"""The page of a search of 300 trials in a real browser: all are there, a click opens a run, it follows the search."""

from __future__ import annotations

import random
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ControlLimits
from pipeline.search.driver.live import LiveSearch
from pipeline.search.driver.observer import Asked
from pipeline.search.study.space import Point
from pipeline.tracking import Tracker, open_tracker, stage_run
from pipeline.tracking.keys import PARETO, TRIAL_STAGE
from tatsnet.network.tasks import AXES
from tests.slow.browsers import REPOSITORY, chromium, ui

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]

TRIALS, STUDY, BEFORE = 300, "1a2b3c4d5e6f7a8b", "9f8e7d6c5b4a3f2e"
DENSE = {"psnr_db": 28.0, "input_psnr_db": 20.0}
LIMITS = ControlLimits(gain=0.3, off_rms=1.0)


def control(share: float) -> dict[str, Any]:
    """Figures of a network whose sliders all gain so much of what the dense network's do."""
    each = dict.fromkeys(AXES, share)
    return {"gain_db": each, "evenness": each, "control": each, "weakest_slider": share, "off_rms": 0.5}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Trials over two decades of cost; every tenth is infeasible, every fiftieth has no figures."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        cost = 10 ** draw.uniform(-2, -0.2)
        figures = {
            "psnr_db": 26 + draw.gauss(0, 0.3) + cost,
            "flops_ratio_m27": cost,
            "flops_ratio_m1": min(1.0, 3 * cost),
            "shared_layers_pct": 50.0,
            **control(0.1 if number % 10 == 9 else draw.uniform(0.4, 1.0)),
        }
        state, reason = "finished", None
        if number % 50 == 49:
            state, figures, reason = "failed", {}, "diverged: the loss became nan"
        made.append(
            {
                "number": number,
                "state": state,
                "reason": reason,
                "variant": "TSNet" if number % 2 else "TA+TSNet",
                "lambda1": 1e-3,
                "lambda2": 0.1,
                "gamma": 0.9,
                "metrics": figures,
            }
        )
    return made


def feasible(row: dict[str, Any]) -> bool:
    return row["state"] == "finished" and row["metrics"]["weakest_slider"] >= LIMITS.gain


def front_of(made: list[dict[str, Any]]) -> set[int]:
    """Numbers of those that no other feasible one beats, by comparing all with all."""
    usable = [(row["number"], row["metrics"]) for row in made if feasible(row)]
    return {
        number
        for number, own in usable
        if not any(
            other["psnr_db"] >= own["psnr_db"]
            and other["flops_ratio_m27"] <= own["flops_ratio_m27"]
            and (other["psnr_db"], other["flops_ratio_m27"]) != (own["psnr_db"], own["flops_ratio_m27"])
            for _, other in usable
        )
    }


@dataclass(frozen=True)
class Project:
    """A project in which two searches were recorded; the second still runs."""

    root: Path
    tracker: Tracker
    made: list[dict[str, Any]]
    live: LiveSearch
    run_id: str


def record(root: Path, tracker: Tracker, study: str, made: list[dict[str, Any]]) -> tuple[LiveSearch, str]:
    with stage_run(tracker, "search", {}, root=root) as run:
        for row in made:
            number, figures = row["number"], row["metrics"]
            tags = {"number": str(number), "variant": row["variant"]}
            trial = tracker.start(f"trial-{number:02d}", stage=TRIAL_STAGE, tags=tags, parent=run.id)
            trial.metrics({name: value for name, value in figures.items() if isinstance(value, float)})
            trial.params({name: row[name] for name in ("lambda1", "lambda2", "gamma")})
            trial.finish("FINISHED" if row["state"] == "finished" else "FAILED")
        live = LiveSearch(tracker, run, study, ["flops"], DENSE, LIMITS, root / ".state" / study)
        live.begin(made)
        return live, run.id


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("project")
    shutil.copy(REPOSITORY / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracker, made = open_tracker("tatsnet", root), rows(TRIALS, seed=1)
        record(root, tracker, BEFORE, rows(12, seed=2))
        live, run_id = record(root, tracker, STUDY, made)
        tracker.find()  # waits until everything is sent
        yield Project(root, tracker, made, live, run_id)


@pytest.fixture(scope="module")
def link(project: Project) -> Iterator[str]:
    with ui(project.root, "--port", "0") as (_, link):
        yield link


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser.new_context(viewport={"width": 1500, "height": 1000})


@pytest.fixture
def page(browser: Any, link: str) -> Iterator[Any]:
    page = browser.new_page()
    page.goto(link)
    page.wait_for_selector("body[data-drawn]")
    yield page
    page.close()


DRAWN = """() => {
    const chart = document.getElementById('chart');
    return {
        traces: chart._fullData.map(
            trace => ({name: trace.name, x: [...trace.x], y: [...trace.y], line: trace.line?.shape})),
        axis: chart._fullLayout.xaxis.type,
        ticks: [...chart.querySelectorAll('.xtick text')].map(tick => tick.textContent),
        points: chart.querySelectorAll('.scatterlayer .point').length,
    };
}"""


def test_the_link_opens_the_last_search_and_every_trial_is_on_it(project: Project, link: str, page: Any) -> None:
    assert link.endswith("/front")
    drawn, front = page.evaluate(DRAWN), front_of(project.made)
    by_name = {trace["name"]: trace for trace in drawn["traces"]}
    obeying = sum(feasible(row) for row in project.made)
    with_figures = sum(bool(row["metrics"]) for row in project.made)
    counts = {
        f"on the front ({len(front)})": len(front),
        f"finished ({obeying - len(front)})": obeying - len(front),
        f"infeasible (control) ({with_figures - obeying})": with_figures - obeying,
        "dense network": 1,
    }
    assert {name: len(by_name[name]["x"]) for name in counts} == counts
    assert f"study {BEFORE[:8]}" in by_name, "the search before is drawn below"
    assert drawn["points"] == with_figures + 1 + len(by_name[f"study {BEFORE[:8]}"]["x"]), "all are drawn"
    assert drawn["axis"] == "log"
    assert {"1.0 %", "10 %", "100 %"} <= set(drawn["ticks"])
    line = by_name["front"]
    assert (line["line"], line["x"]) == ("hv", sorted(line["x"]))
    assert line["y"] == sorted(line["y"]), "more cost, more PSNR"
    table = page.eval_on_selector_all("#trials tbody tr", "rows => rows.map(row => row.className)")
    assert table == ["front"] * len(front) + ["finished"] * (obeying - len(front)) + ["infeasible"] * (
        with_figures - obeying
    )
    assert page.locator("#others tbody tr").count() == TRIALS - with_figures


def test_a_click_on_a_point_opens_its_run_and_says_how_to_pick_it(project: Project, page: Any, browser: Any) -> None:
    number = min(front_of(project.made))
    share = project.made[number]["metrics"]["flops_ratio_m27"]
    name = f"trial-{number:02d} · {project.made[number]['metrics']['psnr_db']:.2f} dB · {100 * share:.1f} %"
    point = page.evaluate(
        """share => {
            const chart = document.getElementById('chart');
            const front = chart._fullData.find(trace => trace.name.startsWith('on the'));
            const at = chart._fullLayout, x = front.x.indexOf(share), box = chart.getBoundingClientRect();
            return [box.left + at._size.l + at.xaxis.d2p(front.x[x]), box.top + at._size.t + at.yaxis.d2p(front.y[x])];
        }""",
        share,
    )
    page.mouse.move(*point)
    page.wait_for_selector(".hoverlayer .hovertext")
    assert f"trial {number}" in (page.text_content(".hoverlayer") or "")
    with browser.expect_page() as opened:
        page.mouse.click(*point)
    opened.value.wait_for_selector(f"text={name}", timeout=60_000)
    opened.value.close()
    assert f"python -m pipeline pick {number} --study {STUDY[:8]}" in page.inner_text("#card")


def test_it_stands_among_the_artifacts_of_the_run_whose_description_links_to_it(
    project: Project, link: str, browser: Any
) -> None:
    run = f"{link.removesuffix('/front')}/#/experiments/{project.tracker.experiment_id}/runs/{project.run_id}"
    page = browser.new_page()
    page.goto(run)
    with browser.expect_page() as opened:
        page.click("a[href$='artifacts/front.html']", timeout=60_000)
    page.close()
    page = opened.value
    frame = page.wait_for_selector("iframe.mlflow-html-iframe", timeout=60_000).content_frame()
    frame.wait_for_selector("body[data-drawn]")
    assert len(frame.query_selector_all("#trials tbody tr")) > 200
    frame.click("#trials tbody tr")
    assert f"/runs/{frame.get_attribute('#trials tbody tr', 'data-trial')}" in frame.inner_text("#card"), "where to go"
    page.close()


def test_it_needs_nothing_from_elsewhere_and_may_not_speak_to_the_server(link: str, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector("body[data-drawn]")
    assert asked == [link]
    said = page.evaluate("url => fetch(url).then(() => 'answered', () => 'refused')", link)
    assert said == "refused"


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("front", "evil.example", 403), ("front/0123456789abcdef", "", 404), ("front/..%2fsecret", "", 404)],
)
def test_it_answers_this_machine_alone_and_knows_runs_alone(link: str, path: str, host: str, status: int) -> None:
    base = link.removesuffix("/front")
    request = urllib.request.Request(f"{base}/{path}", headers={"Host": host} if host else {})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == status


def test_it_follows_the_search(project: Project, link: str, browser: Any) -> None:
    """A trial that beats all others leaves it alone on the front, on the page and in the runs' tags."""
    point = Point(variant="TSNet", lambda1=1e-3, lambda2=0.1, gamma=0.9)
    tags = {"number": str(TRIALS), "variant": "TSNet"}
    run = project.tracker.start("trial-300", stage=TRIAL_STAGE, tags=tags, parent=project.run_id)
    asked = Asked(number=TRIALS, key="k", point=point)
    figures = {"psnr_db": 30.0, "flops_ratio_m27": 0.001, **control(0.9)}
    project.live.started(asked, run.id)
    project.live.ended(asked, figures, "finished", None)
    project.live.figures({"trials_done": 301.0}, step=301)
    project.live.show("301 of 400 trials done", running=True, at_once=True)
    on_front = project.tracker.find({"stage": TRIAL_STAGE, PARETO: "true", "mlflow.parentRunId": project.run_id})
    assert [found.id for found in on_front] == [run.id]
    (search,) = [found for found in project.tracker.find({"stage": "search"}) if found.id == project.run_id]
    assert search.metrics["hypervolume"] == pytest.approx((30 - 20) * (1 - 0.001))
    assert search.metrics["front"] == 1
    page = browser.new_page()
    page.goto(link)
    page.wait_for_selector("body[data-drawn]")
    assert page.inner_text("#status") == "301 of 400 trials done"
    assert page.eval_on_selector_all("tr.front td:first-child", "cells => cells.map(cell => cell.textContent)") == [
        "300"
    ]
    page.close()
