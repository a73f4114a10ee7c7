"""Writes the whole report into a folder."""

from __future__ import annotations

from pathlib import Path

from pipeline.common.files import atomic_write_bytes, atomic_write_json, atomic_write_text, writing
from pipeline.report.compared import FRONT_FILE, SCORES_FILE, front, scores
from pipeline.report.contact import sheet_jpeg
from pipeline.report.page import page
from pipeline.report.pictures import Pictures
from pipeline.report.plain import to_plain
from pipeline.report.plots import Plot, flops_over_m, flops_over_task, pareto, render
from pipeline.report.schema import Metrics
from pipeline.report.tables import tables
from pipeline.report.theme import DARK

PLOTS: dict[str, Plot] = {"pareto": pareto, "flops_over_m": flops_over_m, "flops_over_task": flops_over_task}


def write_report(metrics: Metrics, pictures: Pictures, folder: Path) -> None:
    """Write figures (metrics.json, scores.json, front.json, tables.md), three plots, contact_sheet.jpg and index.html.

    All is drawn before the first file is written, and equal arguments give equal files; metrics.json comes last.

    Raises:
        UserError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sheet = sheet_jpeg(pictures)
    files = {f"{name}.{kind}": render(plot, metrics, kind) for name, plot in PLOTS.items() for kind in ("svg", "png")}
    files["contact_sheet.jpg"] = sheet
    both = {name: (files[f"{name}.svg"], render(plot, metrics, "svg", DARK)) for name, plot in PLOTS.items()}
    html = page(metrics, pictures, sheet, both)
    markdown = "\n".join(("# Figures", "", *(table.markdown() for table in tables(metrics))))
    for name, data in files.items():
        atomic_write_bytes(folder / name, data)
    atomic_write_text(folder / "index.html", html)
    atomic_write_text(folder / "tables.md", markdown)
    atomic_write_json(folder / FRONT_FILE, to_plain(front(metrics)))
    atomic_write_json(folder / SCORES_FILE, to_plain(scores(metrics)))
    atomic_write_json(folder / "metrics.json", metrics.to_json())
