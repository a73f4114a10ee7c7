"""`python -m pipeline worker`: train trials of a study beside other workers, without Ray."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import read_json
from pipeline.common.layout import CLEAN, STATE
from pipeline.common.progress import say
from pipeline.config import PARAMS_FILE, load
from pipeline.search.driver.budget import Rates, Spending
from pipeline.search.driver.worker import Worker
from pipeline.search.study.identity import searches, study_key
from pipeline.search.study.opening import Opened, open_store
from pipeline.search.trial.job import make_job
from pipeline.tracking import open_tracker, stage_run

STAGE = "worker"


def worker(root: Path) -> str:
    """Train trials until the study has what it is asked for; what to print.

    SIGTERM ends it as Ctrl-C does: what is trained lies in the store, and another worker goes on.

    Raises:
        UserError: the stages before search have not run here, or the study cannot be shared.
    """
    params = load(root / PARAMS_FILE)
    if "latency" in params.search.objectives:
        raise UserError(
            "search.objectives has latency, which holds on one machine; workers search by FLOPs alone: set "
            "search.objectives to [flops], or run `dvc repro search`"
        )
    opened = Opened(study_key(root, params), searches(root))
    if opened.shared and opened.shared.engine.dialect.name != "postgresql":
        raise UserError("workers share a study of Postgres, or the file of one machine: see TATSNET_STUDY")
    store = open_store(opened.name, opened.place)
    store.check()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tracker = open_tracker(params.tracking.experiment, root)
    (root / STATE).mkdir(exist_ok=True)
    say(f"search  worker {socket.gethostname()}.{os.getpid()} of study {opened.name[:8]}")
    with stage_run(
        tracker,
        STAGE,
        {"search": params.search},
        root=root,
        upstream=("degrade", "pretrain"),
        dataset_sha256=read_json(root / CLEAN / "manifest.json")["dataset_sha256"],
        tags={"study": opened.name, "host": socket.gethostname()},
    ) as run:
        spending = Spending(Rates.of(params.cost), params.search.limits, before_usd=0.0)
        made = Worker(opened, store, params.search, make_job(root, params), spending, tracker, run)
        return f"{made.work()}; `dvc repro` takes up the study"
