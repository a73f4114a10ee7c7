"""Files of the report by which DVC compares experiments: `dvc metrics show`, `dvc exp show`, `dvc plots show`."""

from __future__ import annotations

import csv
import io
from typing import Any

from pipeline.report.schema import Metrics

SCORES_FILE, FRONT_FILE = "scores.json", "front.csv"
FRONT_COLUMNS = ("flops_pct_m27", "psnr_db", "variant", "pareto", "pick", "trial")


def scores(metrics: Metrics) -> dict[str, Any]:
    """The few figures by which experiments are compared; one that was not measured is left out.

    PSNR in dB; FLOPs as shares of the dense network's, at M = 27; the speed-up as its time over a pick's.
    """
    trials = metrics.trials
    return {
        "input_psnr_db": metrics.input_psnr_db,
        "dense_psnr_db": metrics.dense_psnr_db,
        "hypervolume": metrics.hypervolume,
        "trials": {"finished": trials.finished, "stopped": trials.stopped, "failed": trials.failed},
        "picks": {
            pick.name: {
                "psnr_db": pick.psnr_db,
                "ssim": pick.ssim,
                "flops_ratio_m27": pick.flops_ratio_m27,
                "speedup_27": pick.speedup_27,
            }
            for pick in metrics.picks
        },
    }


def front(metrics: Metrics) -> str:
    """Every finished trial as a row of CSV, and the dense network, for a scatter plot of PSNR over FLOPs."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(FRONT_COLUMNS)
    for trial in metrics.front:
        share = round(100 * trial.flops_ratio_m27, 3)
        rows.writerow((share, trial.psnr_db, trial.variant, trial.pareto, trial.pick or "", trial.number))
    if metrics.dense_valid_psnr_db is not None:
        rows.writerow((100.0, metrics.dense_valid_psnr_db, "dense", False, "", ""))
    return text.getvalue()
