"""Where runs, their figures and the found networks are recorded: the one package that imports mlflow.

Nothing here imports mlflow until `open_tracker` is called: its import takes about 1.2 s, opening a SQLite store another
0.7 s, whichever of its submodules is named (the package's `__init__` pulls in pandas and FastAPI).
"""

from pipeline.tracking.api import Found, Run, Status, Tracker, Version
from pipeline.tracking.null import NullRun, NullTracker
from pipeline.tracking.opening import open_tracker, tracking_uri
from pipeline.tracking.place import store_file
from pipeline.tracking.stage import last_run_id, stage_run
from pipeline.tracking.view import (
    FRONT_PAGE,
    STORE_VARIABLE,
    experiment_link,
    front_link,
    front_marks,
    has_pareto_view,
    mark_pareto,
    pareto_view,
    show_front,
    view_link,
)

__all__ = [
    "FRONT_PAGE",
    "STORE_VARIABLE",
    "Found",
    "NullRun",
    "NullTracker",
    "Run",
    "Status",
    "Tracker",
    "Version",
    "experiment_link",
    "front_link",
    "front_marks",
    "has_pareto_view",
    "last_run_id",
    "mark_pareto",
    "open_tracker",
    "pareto_view",
    "show_front",
    "stage_run",
    "store_file",
    "tracking_uri",
    "view_link",
]
