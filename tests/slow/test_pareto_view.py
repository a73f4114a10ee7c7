"""The link that `python -m pipeline ui` prints, opened in a real browser on a real MLflow server."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import UserError
from pipeline.tracking import mark_pareto, open_tracker, pareto_view, stage_run
from pipeline.tracking.keys import TRIAL_STAGE
from pipeline.tracking.view import OFF_FRONT, ON_FRONT
from tests.slow.browsers import REPOSITORY, chromium, ui

# FLOPs at M = 27 as a share of dense, PSNR in dB, on the Pareto front.
TRIALS = [
    (0.021, 26.02, True), (0.034, 26.24, True), (0.052, 26.13, False), (0.068, 26.41, True), (0.100, 26.55, True),
    (0.110, 26.31, False), (0.138, 26.77, True), (0.155, 26.70, False), (0.230, 26.68, False), (0.262, 26.91, True),
    (0.300, 26.60, False), (0.352, 26.85, False),
]  # fmt: skip


def record_a_search(root: Path) -> None:
    tracker = open_tracker("tatsnet", root)
    with stage_run(tracker, "search", {"trials": len(TRIALS)}, root=root) as search:
        front = set()
        for index, (share, psnr_db, on_front) in enumerate(TRIALS):
            tags = {"variant": "TA+TSNet" if index % 3 else "TSNet"}
            trial = tracker.start(
                f"trial-{index:02d}", stage=TRIAL_STAGE, tags=tags, parent=search.id, key=f"key-{index}"
            )
            trial.params({"lambda1": 1e-5 * 1.7**index, "lambda2": 1e-3, "gamma": 0.9})
            figures = {"psnr_db": psnr_db, "flops_ratio_m27": share, "flops_ratio_m1": share + 0.1}
            trial.metrics({**figures, "shared_layers_pct": 90.0 - 6 * index})
            trial.finish()
            if on_front:
                front.add(trial.id)
        mark_pareto(tracker, tracker.find({"stage": TRIAL_STAGE}), front)
        pareto_view(tracker, search.id)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copy(REPOSITORY / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        record_a_search(root)
    return root


@pytest.fixture(scope="module")
def link(project: Path) -> Iterator[str]:
    with ui(project, "--port", "0") as (_, link):
        yield link


@pytest.fixture(scope="module")
def page(link: str) -> Iterator[Any]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1920, "height": 1000})
        page.goto(link)
        page.wait_for_selector(".js-plotly-plot .point", timeout=60_000)
        page.wait_for_selector(".ag-row:has-text('trial-00')", timeout=60_000)
        page.wait_for_timeout(1500)
        if folder := os.environ.get("TATSNET_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "pareto.png")
        yield page


DRAWN = """() => {
    const plot = document.querySelector('.js-plotly-plot');
    const trace = plot._fullData[0];
    const points = [...plot.querySelectorAll('.scatterlayer .point')];
    return {
        x: [...trace.x], y: [...trace.y],
        axes: [plot._fullLayout.xaxis.title.text, plot._fullLayout.yaxis.title.text],
        fills: points.map(point => getComputedStyle(point).fill),
        sizes: points.map(point => point.getBoundingClientRect().width),
    };
}"""


@pytest.mark.slow
@pytest.mark.browser
class TestPage:
    def test_every_trial_is_a_point_and_the_front_has_its_own_colour(self, page: Any) -> None:
        drawn = page.evaluate(DRAWN)
        assert drawn["axes"] == ["flops_ratio_m27", "psnr_db"]
        assert sorted(zip(drawn["x"], drawn["y"], strict=True)) == [trial[:2] for trial in TRIALS]
        assert len(drawn["fills"]) == len(TRIALS)
        assert min(drawn["sizes"]) > 3
        colour = {True: rgb(ON_FRONT), False: rgb(OFF_FRONT)}
        on_front = {trial[:2]: trial[2] for trial in TRIALS}
        expected = [colour[on_front[point]] for point in zip(drawn["x"], drawn["y"], strict=True)]
        assert drawn["fills"] == expected

    def test_the_trials_stand_beside_it_the_front_first(self, page: Any) -> None:
        rows = page.evaluate(
            "() => [...document.querySelectorAll('.ag-row')]"
            ".map(row => [+row.getAttribute('row-index'), row.innerText])"
        )
        names = [text.split("\n")[-1] for _, text in sorted(rows) if "trial-" in text]
        labels = {f"trial-{i:02d} · {psnr:.2f} dB · {100 * m:.1f} %": on for i, (m, psnr, on) in enumerate(TRIALS)}
        assert sorted(names) == sorted(labels)
        assert [labels[name] for name in names] == sorted(labels.values(), reverse=True)
        table, chart = (page.query_selector(css).bounding_box() for css in (".ag-root", ".js-plotly-plot"))
        assert table["x"] + table["width"] <= chart["x"] + 1
        assert table["y"] < chart["y"] + chart["height"]


@pytest.mark.slow
class TestServer:
    def test_answers_this_machine_alone(self, link: str) -> None:
        base = link.split("/#/")[0]
        assert status(f"{base}/health") == 200
        assert status(f"{base}/api/2.0/mlflow/experiments/get?experiment_id=1", host="evil.example") == 403

    def test_ctrl_c_ends_it_and_its_children(self, project: Path) -> None:
        with ui(project, "--port", "0") as (process, link):
            base = link.split("/#/")[0]
            assert status(f"{base}/health") == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        with pytest.raises(urllib.error.URLError):
            status(f"{base}/health")

    def test_says_what_stands_in_its_way(self, project: Path, link: str, tmp_path: Path) -> None:
        from pipeline.commands.ui import main

        shutil.copy(REPOSITORY / "params.yaml", tmp_path)
        port = re.search(r":(\d+)/", link)
        assert port is not None
        with pytest.raises(UserError, match=f"port {port[1]} .* --port 0"):
            main(["--port", port[1]], project)
        with pytest.raises(UserError, match="make repro"):
            main([], tmp_path)
        assert not (tmp_path / "mlflow.db").exists()
        with pytest.raises(UserError, match="without a password"):
            main(["--host", "0.0.0.0"], project)

    def test_takes_runs_itself_and_is_linked_to(
        self, link: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        from pipeline.commands.ui import main

        base = link.split("/#/")[0]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", base)
        tracker = open_tracker("remote", tmp_path)
        with stage_run(tracker, "download", {"a": 1}, root=tmp_path) as run:
            run.metrics({"m": 1.0, "nan": float("nan")})
            run.text("hello", "notes.md")
        (found,) = tracker.find({"stage": "download"})
        assert (found.id, found.status, found.metrics["m"]) == (run.id, "FINISHED", 1.0)
        assert not (tmp_path / "mlflow.db").exists()
        kept = urllib.request.urlopen(f"{base}/get-artifact?run_uuid={run.id}&path=notes.md", timeout=10).read()
        assert kept == b"hello"
        assert main([], project) == 0
        assert "viewStateShareKey=pareto" in capsys.readouterr().out

    def test_an_artifact_path_outside_its_root_reads_writes_and_removes_nothing(self, link: str, project: Path) -> None:
        """However it is spelt, and wherever an experiment says that its artifacts lie."""
        base, secret = link.split("/#/")[0], project / "secret.txt"
        secret.write_text("of the machine", encoding="utf-8")
        before = outside(project)
        for method in ("GET", "PUT", "DELETE"):
            for path in SPELLINGS:
                place = f"{base}/api/2.0/mlflow-artifacts/artifacts/{path.format(root=project)}"
                code, answer = ask(place, b"evil" if method == "PUT" else None, method)
                assert code >= 300, (method, path)
                assert b"of the machine" not in answer, (method, path)
        for where in LOCATIONS:
            made = {"name": where, "artifact_location": where.format(root=project)}
            code, answer = ask(f"{base}/api/2.0/mlflow/experiments/create", json.dumps(made).encode(), "POST")
            if code != 200:
                continue
            code, answer = ask(f"{base}/api/2.0/mlflow/runs/create", answer, "POST")
            run = json.loads(answer)["run"]["info"]["run_id"]
            for path in ("secret.txt", "../../secret.txt", "..%2f..%2fsecret.txt", f"{project}/secret.txt"):
                code, answer = ask(f"{base}/get-artifact?run_uuid={run}&path={path}")
                assert (code == 200, b"of the machine" in answer) == (False, False), (where, path)
        assert secret.read_text(encoding="utf-8") == "of the machine"
        assert outside(project) == before


SPELLINGS = (
    "../secret.txt",
    "a/../../secret.txt",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "%252e%252e/secret.txt",
    "{root}/secret.txt",
    "%2F{root}/secret.txt",
    "file:%2F%2F{root}/secret.txt",
)
LOCATIONS = ("file://{root}", "{root}", "{root}#", "file://{root}/?", "file://{root}/#", "mlflow-artifacts:/../", "../")


def outside(project: Path) -> set[Path]:
    """A project's files beyond what the server may write."""
    own = ("mlartifacts", ".state")
    return {p for p in project.rglob("*") if p.relative_to(project).parts[0] not in own and "mlflow.db" not in p.name}


def ask(url: str, body: bytes | None = None, method: str = "GET") -> tuple[int, bytes]:
    """Status and body, as they come: no redirection is followed."""
    host, path = url.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request(method, f"/{path}", body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))


def status(url: str, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
