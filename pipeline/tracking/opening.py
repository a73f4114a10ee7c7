"""Opening a tracker: which store, prepared once, with short limits on the way to a server."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.common.errors import UserError
from pipeline.common.layout import STATE, home
from pipeline.common.sqlite import sqlite_uri
from pipeline.tracking.mlflow_tracker import MlflowTracker
from pipeline.tracking.moving import follow_move
from pipeline.tracking.outbox.mlflow_writer import Sender, is_refusal
from pipeline.tracking.outbox.outbox import Delivery
from pipeline.tracking.outbox.sender_thread import SenderThread
from pipeline.tracking.outbox.store import RecordQueue, queue_folder
from pipeline.tracking.outbox.warn_once import WarnOnce
from pipeline.tracking.place import ARTIFACTS, absolute, store_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NO_BLIND_RETRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""Whatever the user's environment says: a request to make a run, sent again blindly, makes a second run."""
_HEALTH_TIMEOUT_S = 5.0
_SIGNED = re.compile(
    r"""https?://[^@]*@  # a web server's user
    | ((\w[\w+.-]*:)?// | (?!\w[\w+.-]*:/)) [^/@]*:[^@]*@  # a user with a password, the scheme forgotten or not
    | .*[?&]\w*passw(or)?d=  # as databases take it too
    """,
    re.IGNORECASE | re.VERBOSE,
)


def tracking_uri(root: Path) -> str:
    """The store in use: `MLFLOW_TRACKING_URI`, or else a SQLite file in the project's own folder.

    In a temporary copy that DVC made of the project, that is the folder of the project, and so is the place that a
    relative path in the variable starts from.

    It is shown, kept in `.state` and handed to servers on their command line, so it holds no password.

    Raises:
        UserError: the variable holds a password, or the user of a web server.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and _SIGNED.match(uri):
        raise UserError(
            "MLFLOW_TRACKING_URI holds a user or a password, which would show in messages and files: keep only the "
            "address in it and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (for Postgres, PGPASSFILE)"
        )
    return absolute(root, uri) if uri else sqlite_uri(store_file(root))


def prepare() -> None:
    """Settings of MLflow's own, in the environment; what the user has set there stays, but for the retries."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.update(_NO_BLIND_RETRY)


def open_tracker(experiment: str, root: Path) -> MlflowTracker:
    """Open an experiment of the MLflow store, made if it is missing.

    The default store is `mlflow.db` of the project, with artifacts in its `mlartifacts`; the first of several processes
    prepares it while the others wait. It follows a project that was moved. `MLFLOW_TRACKING_URI` names a server.
    Records that an earlier process could not send are sent from now on, before new ones.

    Args:
        experiment: its name.
        root: the project folder; a relative path is taken from the current folder.

    Raises:
        UserError: the address holds a password, the server does not answer (said within seconds), or the store cannot
            be used.
    """
    prepare()
    uri = tracking_uri(root)
    if uri.startswith(("http://", "https://")):
        _require_answer(uri)
        client, experiment_id = _connect(uri, experiment, artifacts=None)
    else:
        artifacts = home(root) / ARTIFACTS
        with _locked(home(root) / STATE / "mlflow.lock"):
            if uri == sqlite_uri(store_file(root)):
                follow_move(store_file(root), artifacts)
            client, experiment_id = _connect(uri, experiment, artifacts.as_uri() if uri.startswith("sqlite") else None)
    return MlflowTracker(client, uri, experiment_id, make_delivery(client, queue_folder(root, uri)))


def make_delivery(client: MlflowClient, folder: Path) -> Delivery:
    """What takes records for a store and keeps them in `folder` until they are sent.

    Raises:
        UserError: nothing can be kept there.
    """
    warn = WarnOnce()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "opening.lock"):
            queue = RecordQueue(folder, warn)
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"records for the tracker cannot be kept in {folder} ({error}): free some space, or make it writable"
        ) from error
    sender = Sender(client, queue)
    return Delivery(queue, SenderThread(queue, sender, is_refusal, sender.ask, warn), warn)


def _connect(uri: str, experiment: str, artifacts: str | None) -> tuple[MlflowClient, str]:
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback for each try of a locked store
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return client, _experiment_id(client, experiment, artifacts)
    except Exception as error:  # each kind of store has its own: a driver's, SQLAlchemy's, MLflow's
        raise UserError(
            f"the experiment {experiment!r} cannot be opened in {uri}: {error}. "
            "Check MLFLOW_TRACKING_URI, or unset it to record in the project folder"
        ) from error


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found: Any = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_answer(uri: str) -> None:
    try:
        urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=_HEALTH_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError, HTTPException) as error:
        raise UserError(
            f"the MLflow server {uri} does not answer ({error}). "
            "Start it, correct MLFLOW_TRACKING_URI, or unset it to record in the project folder"
        ) from error
