"""MLflow's server with one page more: `/front`, the interactive front of the search that runs or ran last.

MLflow starts this application by the entry point `mlflow.app`, as `mlflow server --app-name tatsnet`; its interface
shows an HTML artifact in a frame that may open no other page, so that a click on a trial could not lead to its run.
`/front/RUN` shows the page of that search. Nobody but MLflow imports this module.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse
from mlflow.artifacts import download_artifacts
from mlflow.server.fastapi_app import app
from mlflow.tracking import MlflowClient

from pipeline.tracking.view import FRONT_PAGE, STORE_VARIABLE, latest_search

__all__ = ["app"]

_HEADERS = {
    # The page is a file of a run: it gets no right to speak to the server that shows it, but may open its links.
    "Content-Security-Policy": (
        "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
        "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def front() -> HTMLResponse:
    """The page of the search that runs or ran last."""
    uri, _, experiment_id = os.environ[STORE_VARIABLE].rpartition(" ")
    run_id = latest_search(MlflowClient(uri), experiment_id)
    if run_id is None:
        raise HTTPException(404, "no search has shown its front yet: `dvc repro search` runs one")
    return _page(uri, run_id)


def front_of(run_id: str) -> HTMLResponse:
    """The page of one search."""
    if not (run_id.isalnum() and run_id.isascii()):
        raise HTTPException(404, "a run's id is letters and digits")
    uri, _, _ = os.environ[STORE_VARIABLE].rpartition(" ")
    return _page(uri, run_id)


def _page(uri: str, run_id: str) -> HTMLResponse:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            file = download_artifacts(run_id=run_id, artifact_path=FRONT_PAGE, dst_path=scratch, tracking_uri=uri)
        except Exception as error:  # each kind of store has its own
            raise HTTPException(404, f"the run {run_id} holds no {FRONT_PAGE}") from error
        return HTMLResponse(Path(file).read_text(encoding="utf-8"), headers=_HEADERS)


def _come_first() -> None:
    """Before MLflow's own routes, the last of which takes every address."""
    own = APIRouter()
    own.add_api_route("/front", front, response_class=HTMLResponse)
    own.add_api_route("/front/{run_id}", front_of, response_class=HTMLResponse)
    app.router.routes[:0] = own.routes


_come_first()
