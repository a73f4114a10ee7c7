"""Files of the report by which DVC compares experiments: `dvc metrics show`, `dvc exp show`, `dvc plots show`."""

from __future__ import annotations

from typing import Any

from pipeline.report.schema import Metrics

SCORES_FILE, FRONT_FILE = "scores.json", "front.json"


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


def front(metrics: Metrics) -> list[dict[str, Any]]:
    """Every finished trial as a row, and the dense network last, for a plot of PSNR over FLOPs."""
    rows = [
        _row(100 * trial.flops_ratio_m27, trial.psnr_db, trial.variant, trial.pareto, trial.pick, trial.number)
        for trial in metrics.front
    ]
    if metrics.dense_valid_psnr_db is not None:
        rows.append(_row(100.0, metrics.dense_valid_psnr_db, "dense", True, None, None))
    return rows


def _row(
    flops_pct_m27: float, psnr_db: float, variant: str, pareto: bool, pick: str | None, trial: int | None
) -> dict[str, Any]:
    return {
        "flops_pct_m27": round(flops_pct_m27, 3),
        "psnr_db": psnr_db,
        "variant": variant,
        "pareto": pareto,
        "pick": pick or "",
        "trial": "" if trial is None else trial,
    }
