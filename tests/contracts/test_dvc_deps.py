from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.contracts import dvc_deps

FILES = {
    "tatsnet/__init__.py": "",
    "tatsnet/core.py": "X = 1\n",
    "tatsnet/other.py": "",
    "pipeline/__init__.py": "",
    "pipeline/stages/__init__.py": "",
    "pipeline/stages/first.py": "from pipeline.page import TEMPLATE\n",
    "pipeline/stages/second.py": "def main():\n    from pipeline.stages import first\n",
    "pipeline/page.py": "from tatsnet.core import X\nTEMPLATE = 'page.html'\n",
    "pipeline/page.html": "<p>",
    "pipeline/unused.html": "<p>",
}
DVC_YAML = """\
# Kept.
stages:
  first:
    cmd: python -m pipeline.stages.first
    params: [network]
    deps:
      - pipeline/stages/second.py
      - data/clean  # kept too
    outs:
      - out
  copy:
    cmd: cp a b
    deps:
      - tatsnet/core.py
"""
FIRST = ["pipeline/page.html", "pipeline/page.py", "pipeline/stages/first.py", "tatsnet/core.py"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project whose packages stand in for ours."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    for name in [name for name in sys.modules if name.partition(".")[0] in dvc_deps.PACKAGES]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_every_stage_depends_on_exactly_what_it_imports(root: Path) -> None:
    found = dvc_deps.check(root)
    assert not found, (
        "the code deps of dvc.yaml are not what the stages import; "
        f"`python -m tests.contracts.dvc_deps --write` mends them:\n{dvc_deps.report(found)}"
    )


def test_what_is_missing_and_what_is_too_much_is_said_line_by_line(project: Path) -> None:
    found = dvc_deps.check(project)
    assert found == {"first": [f"+ - {path}" for path in FIRST] + ["- - pipeline/stages/second.py"]}
    assert (project / "dvc.yaml").read_text() == DVC_YAML


def test_writing_mends_the_code_and_leaves_the_rest(project: Path) -> None:
    assert dvc_deps.check(project, write=True)
    code = "".join(f"      - {path}\n" for path in FIRST)
    assert (project / "dvc.yaml").read_text() == DVC_YAML.replace("      - pipeline/stages/second.py\n", code)
    assert dvc_deps.check(project) == {}


def test_a_lazy_import_counts(project: Path) -> None:
    (project / "dvc.yaml").write_text(DVC_YAML.replace("stages.first", "stages.second"))
    assert "+ - pipeline/stages/first.py" in dvc_deps.check(project)["first"]


def test_a_module_that_does_not_exist_is_refused(project: Path) -> None:
    (project / "dvc.yaml").write_text(DVC_YAML.replace("stages.first", "stages.third"))
    with pytest.raises(ValueError, match=r"stages\.third, which does not exist"):
        dvc_deps.check(project)


def test_a_stage_without_deps_is_left_to_its_author(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages:\n  first:\n    cmd: python -m pipeline.stages.first\n")
    with pytest.raises(ValueError, match="stage first needs a `deps:` line"):
        dvc_deps.check(project, write=True)


def test_the_command_writes_only_when_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert [dvc_deps.main(argv) for argv in ([], ["--write"], [])] == [1, 0, 0]
    assert capsys.readouterr().out.startswith("first:\n  + - pipeline/page.html")


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [(["--help"], 0, "\nExample: python -m tests.contracts.dvc_deps --write\n"), (["--wirte"], 2, "usage: python -m")],
)
def test_help_ends_with_an_example_and_a_mistyped_option_is_refused(
    argv: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        dvc_deps.main(argv)
    captured = capsys.readouterr()
    assert stopped.value.code == status
    assert said in captured.out + captured.err
