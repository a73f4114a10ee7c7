"""What a user sees of a stage: one line for a mistake, the right exit status, a recorded run."""

from __future__ import annotations

import importlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import UserError
from pipeline.stages.runner import Context, Stage, main
from pipeline.tracking import Found, last_run_id, open_tracker
from tests.profiles.tiny import tiny_profile

STAGES = ("download", "degrade", "pretrain", "search", "select", "finetune", "extract", "benchmark")
Work = Callable[[Context], None]


def stage(work: Work, name: str = "degrade", upstream: tuple[str, ...] = ("download",)) -> Stage:
    return Stage(
        name=name,
        summary="does what a test wants",
        upstream=upstream,
        sections=lambda params: {"eval": params.eval, "train.patch": params.train.patch},
        work=work,
    )


def nothing(context: Context) -> None: ...


def mistaken(context: Context) -> None:
    raise UserError("photo.png is no photo: take it away")


def interrupted(context: Context) -> None:
    raise KeyboardInterrupt


def terminated(context: Context) -> None:
    signal.raise_signal(signal.SIGTERM)


def broken(context: Context) -> None:
    raise ZeroDivisionError("a fault of the code")


def photos(sha256: str) -> Work:
    """What a download leaves."""

    def work(context: Context) -> None:
        folder = context.root / "data" / "clean"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps({"dataset_sha256": sha256, "files": []}))

    return work


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    tiny_profile(folder / "params.yaml")
    return folder


@pytest.fixture
def project(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(store)
    return store


def newest(project: Path, name: str) -> Found:
    return open_tracker("tiny", project).find({"stage": name})[0]


def test_work_done_is_exit_0_with_a_recorded_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Context] = []
    assert main(stage(seen.append), []) == 0
    (context,) = seen
    assert context.root == project
    assert context.params.network.width == 8
    run = newest(project, "degrade")
    assert (run.id, run.status) == (last_run_id(project, "degrade"), "FINISHED")
    assert (run.params["eval.crop"], run.params["train.patch"]) == ("48", "16")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "== degrade: does what a test wants"
    assert lines[-1].startswith("== degrade: done in ")


def test_a_mistake_is_one_line_exit_2_and_a_failed_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(stage(mistaken), []) == 2
    assert capsys.readouterr().err == "degrade: photo.png is no photo: take it away\n"
    run = newest(project, "degrade")
    assert run.status == "FAILED"
    assert "photo.png is no photo" in run.tags["reason"]


@pytest.mark.parametrize("work", [interrupted, terminated])
def test_an_interrupt_is_one_line_exit_130_and_a_killed_run(
    project: Path, capsys: pytest.CaptureFixture[str], work: Work
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(stage(work), []) == 130
    error = capsys.readouterr().err
    assert error.startswith("degrade: interrupted")
    assert error.count("\n") == 1
    assert newest(project, "degrade").status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_fault_of_the_code_keeps_its_traceback(project: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        main(stage(broken), [])
    assert newest(project, "degrade").status == "FAILED"


def test_what_failed_is_not_remembered_as_what_made_the_outputs(project: Path) -> None:
    assert main(stage(nothing, "extract"), []) == 0
    made = last_run_id(project, "extract")
    assert main(stage(mistaken, "extract"), []) == 2
    assert last_run_id(project, "extract") == made is not None


def test_the_run_names_the_runs_and_the_photos_that_it_read(project: Path) -> None:
    assert main(stage(photos("abc"), "download", ()), []) == 0
    assert main(stage(nothing), []) == 0
    tags = newest(project, "degrade").tags
    assert tags["upstream.download"] == last_run_id(project, "download")
    assert tags["dataset.sha256"] == "abc"


def test_outputs_that_were_checked_out_are_those_of_the_run_that_made_them(project: Path) -> None:
    made = {}
    for sha256 in ("abc", "def"):
        assert main(stage(photos(sha256), "download", ()), []) == 0
        made[sha256] = last_run_id(project, "download")
    assert made["abc"] != made["def"]
    manifest = project / "data" / "clean" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("def", "abc"))  # as DVC checks out an earlier commit
    assert main(stage(nothing), []) == 0
    assert newest(project, "degrade").tags["upstream.download"] == made["abc"]
    manifest.unlink()
    assert last_run_id(project, "download") is None


def test_an_experiment_in_a_temporary_copy_is_recorded_in_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = project / ".dvc" / "tmp" / "exps" / "standalone" / "tmpabc"
    copy.mkdir(parents=True)
    tiny_profile(copy / "params.yaml")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_EXP_NAME", "slimy-newt")
    assert main(stage(nothing, "select"), []) == 0
    assert newest(project, "select").tags["dvc.experiment"] == "slimy-newt"
    assert newest(project, "select").id == last_run_id(copy, "select")
    assert [path.name for path in copy.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("", "empty"),
        ("data: [", "params.yaml:1"),
        ("data: {source: sampel}", "did you mean 'sample'"),
    ],
    ids=["missing", "empty", "no YAML", "mistyped"],
)
def test_wrong_parameters_end_it_before_anything_is_done(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    called: list[Any] = []
    assert main(stage(called.append), ["--params", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not called


def test_other_parameters_can_be_named(project: Path, tmp_path: Path) -> None:
    seen: list[Context] = []
    path = tiny_profile(tmp_path / "other.yaml", {"network.width": 12})
    assert main(stage(seen.append), ["--params", str(path)]) == 0
    assert seen[0].params.network.width == 12


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_s_help_says_what_it_does_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    made: Stage = importlib.import_module(f"pipeline.stages.{name}").STAGE
    assert made.name == name
    assert set(made.upstream) <= set(STAGES[: STAGES.index(name)])
    with pytest.raises(SystemExit) as caught:
        main(made, ["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert made.summary[1:] in text
    assert f"Example: dvc repro {name}" in text


def test_a_stage_without_what_it_reads_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_profile(tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    assert main(importlib.import_module("pipeline.stages.degrade").STAGE, []) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("degrade: ")
    assert "manifest.json is missing" in line
    assert "dvc repro --force download" in line
    assert not (tmp_path / "data").exists()
