"""What a search leaves for the stages after it: the finished trials' networks, and a row for every ended trial."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.cluster.store import Store
from pipeline.common.files import atomic_write_json, fresh_folder, read_json
from pipeline.common.layout import FIGURES, SUPERNET, TRIALS, TRIALS_FILE
from pipeline.config import Params
from pipeline.search.study.ledger import Ledger
from tatsnet.timing.latency_model import LatencyTable, dense_ms

SUMMED = ("iterations", "device_hours", "cpu_seconds", "gpu_seconds", "usd")
MEASURED_ON = ("device", "runtime", "threads", "size")
"""What is told of a table of latencies."""


def collect(
    root: Path, params: Params, ledger: Ledger, study: str, store: Store, latency: LatencyTable | None = None
) -> list[dict[str, Any]]:
    """Write `search/trials` and `search/trials.json`.

    Returns:
        The finished trials' rows.
    """
    rows = ledger.records()
    with fresh_folder(root / TRIALS) as folder:
        for row in rows:
            if row["state"] == "finished":
                place = folder / f"{row['number']:04d}"
                place.mkdir()
                store.get(row["metrics"]["key"], place)
                row["folder"] = place.name
    figures = read_json(root / SUPERNET / FIGURES)
    search, measured_on = params.search, None
    if latency:
        measured_on = {name: getattr(latency, name) for name in MEASURED_ON}
        measured_on["dense_ms"] = dense_ms(latency, params.network)
    atomic_write_json(
        root / TRIALS_FILE,
        {
            "schema": 1,
            "study": study,
            "dense": {name: figures[name] for name in ("psnr_db", "input_psnr_db", "control")},
            "iterations": search.schedule.iterations,
            "objectives": search.objectives,
            "control": asdict(search.control),
            "latency": measured_on,
            "under_way": list(ledger.under_way.values()),
            "trials": rows,
        },
    )
    return [row for row in rows if row["state"] == "finished"]


def figures_of(ledger: Ledger) -> dict[str, float]:
    """A search's figures: trials by how they ended, the best PSNR, and what all of them took."""
    ended = ledger.records()
    rows = [*(row["metrics"] for row in ended), *ledger.under_way.values()]
    return {
        "finished": ledger.finished,
        "stopped": ledger.stopped,
        "failed": ledger.failed,
        "best_psnr_db": max(row["metrics"]["psnr_db"] for row in ended if row["state"] == "finished"),
        **{name: sum(row.get(name, 0.0) for row in rows) for name in SUMMED},
    }
