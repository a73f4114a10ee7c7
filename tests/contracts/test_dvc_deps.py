"""dvc.yaml: short enough to read, and a stage runs when, and only when, what decides its result has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from tests.contracts.dvc_deps import NO_RESULT, PACKAGES, code_of, covered, idle, missing, stage_module

MOST_LINES = 120


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


@pytest.fixture(scope="module")
def stages(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    return found


STAGES = ("photos", "download", "degrade", "pretrain", "search", "select", "finetune", "extract", "benchmark")


def test_a_person_can_read_it(root: Path, stages: dict[str, Any]) -> None:
    assert len((root / "dvc.yaml").read_text().splitlines()) <= MOST_LINES
    assert tuple(stages) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_decides_a_result_is_named_and_nothing_else(
    stage: str, graph: grimp.ImportGraph, stages: dict[str, Any], root: Path
) -> None:
    deps = [str(dep) for dep in stages[stage]["deps"]]
    code = code_of(graph, stage_module(stages[stage]["cmd"]), deps, root)
    assert missing(code, deps) == []
    assert idle(code, deps) == []
    assert all((root / dep).exists() for dep in deps if dep.startswith(PACKAGES))


@pytest.mark.parametrize("stage", STAGES[:-1])
@pytest.mark.parametrize(
    "changed",
    ["pipeline/tracking/view.py", "pipeline/config/loading.py", "pipeline/commands/ui.py", "tatsnet/cli/main.py"],
)
def test_a_comment_in_what_decides_nothing_runs_nothing(stage: str, changed: str, stages: dict[str, Any]) -> None:
    assert not covered(changed, stages[stage]["deps"])


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ("pipeline/report/page.html", {"benchmark"}),
        ("tatsnet/method/gates.py", {"pretrain", "search", "finetune", "extract", "benchmark"}),
        ("pipeline/search/study/pareto.py", {"search", "select", "extract"}),
        ("tatsnet/pruned/network.py", {"search", "extract", "benchmark"}),
        ("pipeline/sources/folder.py", {"photos", "download"}),
    ],
)
def test_a_change_runs_the_stages_whose_result_it_may_change(
    changed: str, wanted: set[str], stages: dict[str, Any]
) -> None:
    assert {name for name, stage in stages.items() if covered(changed, stage["deps"])} == wanted


def test_what_is_left_out_of_dvc_yaml_is_seen(graph: grimp.ImportGraph, stages: dict[str, Any], root: Path) -> None:
    deps = [dep for dep in stages["pretrain"]["deps"] if dep != "tatsnet/method"]
    code = code_of(graph, stage_module(stages["pretrain"]["cmd"]), deps, root)
    assert "tatsnet/method/training.py" in missing(code, deps)
    assert idle(code, [*deps, "tatsnet/timing"]) != []


@pytest.mark.parametrize("path", NO_RESULT)
def test_what_decides_nothing_is_there(path: str, root: Path) -> None:
    assert (root / path).exists()
