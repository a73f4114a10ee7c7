from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from PIL import Image

from pipeline.commands.summary import summarise
from pipeline.common.errors import UserError
from pipeline.report import Metrics, write_report
from pipeline.report.contact import SHEET_SIZE
from tests.pipeline.report.factory import metrics, pictures

FILES = {
    "metrics.json",
    "scores.json",
    "front.json",
    "tables.md",
    "index.html",
    "contact_sheet.jpg",
    *(f"{name}.{kind}" for name in ("pareto", "flops_over_m", "flops_over_task") for kind in ("svg", "png")),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_report(metrics(), pictures(), folder / "reports")
    return folder


def test_all_files_are_there(root: Path) -> None:
    assert {path.name for path in (root / "reports").iterdir()} == FILES


def test_the_figures_can_be_read_back(root: Path) -> None:
    text = (root / "reports" / "metrics.json").read_text(encoding="utf-8")
    assert Metrics.from_json(json.loads(text)) == metrics()
    assert "NaN" not in text


def test_the_summary_reads_them(root: Path) -> None:
    text = summarise(root)
    assert all(figure in text for figure in ("knee", "26.84", "-0.75", "9.6x", "10 finished, 2 stopped, 1 failed"))


def test_the_sheet_is_an_image(root: Path) -> None:
    with Image.open(root / "reports" / "contact_sheet.jpg") as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", SHEET_SIZE)


def test_the_page_holds_the_plots_and_the_sheet(root: Path) -> None:
    html = (root / "reports" / "index.html").read_text(encoding="utf-8")
    for name in ("pareto.svg", "flops_over_m.svg", "flops_over_task.svg", "contact_sheet.jpg"):
        assert base64.b64encode((root / "reports" / name).read_bytes()).decode() in html


def test_the_tables_are_all_in_one_file(root: Path) -> None:
    text = (root / "reports" / "tables.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == 5


def test_the_same_figures_give_the_same_files(root: Path, tmp_path: Path) -> None:
    write_report(metrics(), pictures(), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        p.name: p.read_bytes() for p in (root / "reports").iterdir()
    }


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(UserError, match="reports"):
        write_report(metrics(), pictures(), tmp_path / "reports")
