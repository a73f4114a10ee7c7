"""The ready-made page of MLflow's interface: PSNR over FLOPs, the Pareto points told apart, the trials beside it.

The page's state is an experiment tag that MLflow's own "share" button would write. It is internal to MLflow 3.17, so
the version is pinned and tests/slow/test_pareto_view.py opens the page in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pipeline.tracking.api import Found, Run, Tracker
from pipeline.tracking.keys import NOTE, PARETO, STAGE, TRIAL_STAGE

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VIEW = "pareto"
FRONT_PAGE = "front.html"
"""The artifact of a search's run that shows its front; tags of the run say that it is there and since when."""

FRONT, DRAWN = "front", "front.drawn"
STORE_VARIABLE = "TATSNET_FRONT_STORE"
"""Tells the server that shows the page where the runs lie: the store's address and the experiment's id."""

_KIND = "mlflow.experimentKind"
_STATE = f"mlflow.sharedViewState.{VIEW}"
ON_FRONT, OFF_FRONT = "#d7301f", "#b5bcc4"
_COLOUR = "mlflow.runColor"
_PARENT = "mlflow.parentRunId"
_NAME = "mlflow.runName"
_DOT = " · "
_FLOPS = "flops_ratio_m27"
_COLUMNS = (
    "metrics.`weakest_slider`",
    "metrics.`shared_layers_pct`",
    "tags.`pareto`",
    "tags.`state`",
    "tags.`variant`",
    "params.`lambda1`",
    "params.`lambda2`",
    "params.`gamma`",
)


def mark_pareto(tracker: Tracker, trials: Iterable[Found], front: Container[str]) -> None:
    """Tag these runs `pareto = true|false`, colour those on the front, and put each one's figures into its name.

    The list of runs beside MLflow's charts shows names alone, so `trial-03` becomes `trial-03 · 26.55 dB · 10.0 %`
    (PSNR, and FLOPs at M = 27 of dense), where both are recorded.

    Args:
        front: ids of the runs on it.
    """
    for trial in trials:
        tracker.run(trial.id).tags(front_marks(trial.name, trial.metrics, trial.id in front))


def front_marks(name: str, metrics: Mapping[str, float], on_front: bool) -> dict[str, str]:
    """The tags by which MLflow's tables and charts show whether a trial is on the front."""
    colour = ON_FRONT if on_front else OFF_FRONT
    return {PARETO: str(on_front).lower(), _COLOUR: colour, _NAME: _labelled(name, metrics)}


def pareto_view(tracker: Tracker, parent: str | None = None, costs: Sequence[str] = (_FLOPS,)) -> None:
    """Put the ready-made page into the experiment; `view_link` opens it.

    Args:
        parent: the search's run; only its trials are shown. Without it those of every search of the experiment.
        costs: the metrics that the search minimised beside PSNR; each gets a chart and a column.
    """
    state = json.dumps(_state(parent, costs), separators=(",", ":"))
    tracker.tag_experiment({_STATE: state})


def show_front(tracker: Tracker, run: Run, page: Path, status: str) -> None:
    """Keep a search's page with its run, and link it from the descriptions of the run and of the experiment."""
    run.artifact(page)
    here = f"#/experiments/{tracker.experiment_id}/runs/{run.id}"
    text = f"{status}\n\n[The front of this search, interactive]({here}/artifacts/{FRONT_PAGE})"
    run.tags({NOTE: text, FRONT: FRONT_PAGE, DRAWN: datetime.now(UTC).isoformat(timespec="seconds")})
    tracker.tag_experiment({NOTE: f"The search that runs or ran last: {text}", _KIND: "custom_model_development"})


def latest_search(client: MlflowClient, experiment_id: str) -> str | None:
    """The run of the search that runs or ran last and has a page."""
    found = client.search_runs(
        [experiment_id], f"tags.`{FRONT}` = '{FRONT_PAGE}'", max_results=1, order_by=[f"tags.`{DRAWN}` DESC"]
    )
    return str(found[0].info.run_id) if found else None


def front_link(base_url: str, tracker: Tracker) -> str | None:
    """The address of the page of the search that runs or ran last, inside MLflow; None without one."""
    found = tracker.find({FRONT: FRONT_PAGE})
    if not found:
        return None
    last = max(found, key=lambda run: run.tags.get(DRAWN, ""))
    return f"{base_url.rstrip('/')}/#/experiments/{tracker.experiment_id}/runs/{last.id}/artifacts/{FRONT_PAGE}"


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


def _labelled(run_name: str, metrics: Mapping[str, float]) -> str:
    name = run_name.split(_DOT)[0]
    try:
        psnr_db, share = metrics["psnr_db"], metrics[_FLOPS]
    except KeyError:
        return name
    return _DOT.join([name, f"{psnr_db:.2f} dB", f"{100 * share:.1f} %"])


def _state(parent: str | None, costs: Sequence[str]) -> dict[str, Any]:
    wanted = f"tags.`{STAGE}` = '{TRIAL_STAGE}'" + (f" and tags.`{_PARENT}` = '{parent}'" if parent else "")
    shown = dict.fromkeys((*costs, _FLOPS))
    title = "PSNR over FLOPs" if tuple(costs) == (_FLOPS,) else "PSNR over what the search minimised"
    return {
        "searchFilter": wanted,
        # MLflow draws the first hundred runs, so the front comes first. (By date children hide under their parent.)
        "orderByKey": f"tags.`{PARETO}`",
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
            _table("front", "Trials, the front first"),
            *(
                _scatter("more", metric)
                for metric in ("weakest_slider", "shared_layers_pct", "flops_ratio_m1", _FLOPS)
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
