"""The ready-made page of MLflow's interface: PSNR over FLOPs, the Pareto points told apart, the trials beside it.

The page's state is an experiment tag that MLflow's own "share" button would write. It is internal to MLflow 3.17, so
the version is pinned and tests/slow/test_pareto_view.py opens the page in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from pipeline.tracking.api import Found, Tracker
from pipeline.tracking.keys import PARETO, STAGE, TRIAL_STAGE

VIEW = "pareto"
_STATE = f"mlflow.sharedViewState.{VIEW}"
ON_FRONT, OFF_FRONT = "#d7301f", "#b5bcc4"
_COLOUR = "mlflow.runColor"
_PARENT = "mlflow.parentRunId"
_NAME = "mlflow.runName"
_DOT = " · "
_FLOPS = "flops_ratio_m27"
_COLUMNS = (
    "metrics.`flops_ratio_m1`",
    "metrics.`shared_layers_pct`",
    "tags.`pareto`",
    "tags.`variant`",
    "params.`lambda1`",
    "params.`lambda2`",
    "params.`gamma`",
    "attributes.`Duration`",
)


def mark_pareto(tracker: Tracker, trials: Iterable[Found], front: Container[str]) -> None:
    """Tag these runs `pareto = true|false`, colour those on the front, and put each one's figures into its name.

    The list of runs beside MLflow's charts shows names alone, so `trial-03` becomes `trial-03 · 26.55 dB · 10.0 %`
    (PSNR, and FLOPs at M = 27 of dense), where both are recorded.

    Args:
        front: ids of the runs on it.
    """
    for trial in trials:
        on = trial.id in front
        tags = {PARETO: str(on).lower(), _COLOUR: ON_FRONT if on else OFF_FRONT, _NAME: _labelled(trial)}
        tracker.run(trial.id).tags(tags)


def pareto_view(tracker: Tracker, parent: str | None = None, costs: Sequence[str] = (_FLOPS,)) -> None:
    """Put the ready-made page into the experiment; `view_link` opens it.

    Args:
        parent: the search's run; only its trials are shown. Without it those of every search of the experiment.
        costs: the metrics that the search minimised beside PSNR; each gets a chart and a column.
    """
    state = json.dumps(_state(parent, costs), separators=(",", ":"))
    tracker.tag_experiment({_STATE: state})


def has_pareto_view(tracker: Tracker) -> bool:
    """Whether `pareto_view` has put the page there."""
    return _STATE in tracker.experiment_tags()


def view_link(base_url: str, experiment_id: str) -> str:
    """The address that opens the page on the server at `base_url`."""
    asked = urlencode({"viewStateShareKey": VIEW, "compareRunsMode": "CHART", "workflowType": "machine_learning"})
    return f"{experiment_link(base_url, experiment_id)}?{asked}"


def experiment_link(base_url: str, experiment_id: str) -> str:
    """The address of all runs of the experiment."""
    return f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs"


def _labelled(trial: Found) -> str:
    name = trial.name.split(_DOT)[0]
    try:
        psnr_db, share = trial.metrics["psnr_db"], trial.metrics[_FLOPS]
    except KeyError:
        return name
    return _DOT.join([name, f"{psnr_db:.2f} dB", f"{100 * share:.1f} %"])


def _state(parent: str | None, costs: Sequence[str]) -> dict[str, Any]:
    wanted = f"tags.`{STAGE}` = '{TRIAL_STAGE}'" + (f" and tags.`{_PARENT}` = '{parent}'" if parent else "")
    shown = dict.fromkeys((*costs, _FLOPS))
    title = "PSNR over FLOPs" if tuple(costs) == (_FLOPS,) else "PSNR over what the search minimised"
    return {
        "searchFilter": wanted,
        # Sorted by a metric: by date the children would hide under their collapsed parent.
        "orderByKey": "metrics.`psnr_db`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "selectedColumns": ["metrics.`psnr_db`", *(f"metrics.`{cost}`" for cost in shown), *_COLUMNS],
        "runsHiddenMode": "SHOW_ALL",
        "runListHidden": False,
        "viewMaximized": False,
        "groupBy": None,
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "compareRunSections": [
            _section("front", f"{title}; red is on the Pareto front", columns=2),
            _section("more", "Sharing", columns=2),
            _section("generated", "Model metrics", display=False),
        ],
        "compareRunCharts": [
            *(_scatter("front", cost) for cost in costs),
            _table("front", "Trials, the best PSNR first"),
            *(
                _scatter("more", metric)
                for metric in ("shared_layers_pct", "flops_ratio_m1", _FLOPS)
                if metric not in costs
            ),
        ],
    }


def _section(uuid: str, name: str, columns: int = 3, display: bool = True) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": display,
        "columns": columns,
        "cardHeight": 460,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
    }


def _card(section: str, uuid: str, kind: str) -> dict[str, Any]:
    return {"uuid": uuid, "type": kind, "metricSectionId": section, "deleted": False, "isGenerated": False}


def _scatter(section: str, metric: str) -> dict[str, Any]:
    return {
        **_card(section, f"scatter-{metric}", "SCATTER"),
        "xaxis": {"key": metric, "type": "METRIC"},
        "yaxis": {"key": "psnr_db", "type": "METRIC"},
        "runsCountToCompare": 100,
    }


def _table(section: str, title: str) -> dict[str, Any]:
    return {
        **_card(section, "table", "DIFFERENCE"),
        "chartName": title,
        "compareGroups": ["Model metrics", "Parameters"],
        "showChangeFromBaseline": False,
        "showDifferencesOnly": False,
        "baselineColumnUuid": "",
    }
