"""What the pipeline found, in a few lines, and what to type next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.commands.current import require_current
from pipeline.common.errors import UserError
from pipeline.common.files import read_json

METRICS_FILE = Path("reports/metrics.json")

_NEXT = """Next:
{activate}  tatsnet restore photo.jpg --deblur 0.5 --denoise 0.3 --dejpeg 0 -o out.png
  tatsnet effects photo.jpg -o effects
  make ui                    # the runs, and PSNR over FLOPs as a chart
  open reports/index.html    # the whole report, in any browser"""


def summarise(root: Path) -> str:
    """A table of `reports/metrics.json` with the next commands.

    Raises:
        UserError: the file is of another commit, is missing, or is not what the benchmark writes.
    """
    note = require_current(root)
    path = root / METRICS_FILE
    metrics = read_json(path, "run the pipeline: make repro")
    try:
        table = _table(metrics)
        trials = metrics["trials"]
        counts = ", ".join(f"{trials[kind]} {kind}" for kind in ("finished", "stopped", "failed"))
        gain = metrics["dense_psnr_db"] - metrics["input_psnr_db"]
        head = (
            f"Trials: {counts}; hypervolume {metrics['hypervolume']:.4g}.\n"
            f"Degraded input {metrics['input_psnr_db']:.2f} dB, dense network {metrics['dense_psnr_db']:.2f} dB "
            f"({gain:+.2f})."
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} lacks what the benchmark writes ({error!r}): run dvc repro -f benchmark") from error
    activate = "" if os.environ.get("VIRTUAL_ENV") else "  . .venv/bin/activate\n"
    noted = f"{note}\n\n" if note else ""
    return f"{noted}{head}\n\n{table}\n\n{_NEXT.format(activate=activate)}"


def _table(metrics: dict[str, Any]) -> str:
    header = ("network", "variant", "PSNR dB", "to dense", "SSIM", "FLOPs M=1", "FLOPs M=27", "shared", "speed-up")
    rows = [header, *(_row(pick, metrics["dense_psnr_db"]) for pick in metrics["picks"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return "\n".join((lines[0], "-" * len(lines[0]), *lines[1:]))


def _row(pick: dict[str, Any], dense_psnr: float) -> tuple[str, ...]:
    return (
        str(pick["name"]),
        str(pick["variant"]),
        f"{pick['psnr_db']:.2f}",
        f"{pick['psnr_db'] - dense_psnr:+.2f}",
        f"{pick['ssim']:.3f}",
        f"{100 * pick['flops_ratio_m1']:.1f} %",
        f"{100 * pick['flops_ratio_m27']:.1f} %",
        f"{pick['shared_layers_pct']:.0f} %",
        f"{pick['speedup_27']:.1f}x",
    )
