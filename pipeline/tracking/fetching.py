"""The files of a registered network, brought to this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.files import fresh_folder
from pipeline.tracking.api import Version
from pipeline.tracking.opening import prepare, tracking_uri
from pipeline.tracking.registry import find_version

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_NETWORK = "artifacts"
"""Where a registered model keeps the network's folder."""


def network_folder(address: str) -> Path:
    """The folder of the network at `models:/NAME@ALIAS` or `models:/NAME/VERSION`, kept below ~/.cache/tatsnet.

    It is looked up in MLFLOW_TRACKING_URI, or else in `mlflow.db` of the current folder. `tatsnet --model` comes here
    by the entry point `tatsnet.models`.

    Raises:
        ValueError: another form of address, no such version, or it cannot be read: what to do.
    """
    name, at, which = address.removeprefix("models:/").partition("@")
    if not at:
        name, _, which = name.partition("/")
    if not name or not which:
        raise ValueError(f"{address!r} names no registered network: give models:/NAME@ALIAS or models:/NAME/VERSION")
    uri = tracking_uri(Path())
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise ValueError(f"{address}: {uri} is not there: run this in the project folder, or set MLFLOW_TRACKING_URI")
    client = _client(uri)
    try:
        version = find_version(client, name, which)
        if version is None:
            raise ValueError(f"there is no {address} in {uri}")
        place = hashlib.sha256(f"{uri} {name} {version.version} {version.source}".encode()).hexdigest()[:16]
        folder = Path.home() / ".cache" / "tatsnet" / "models" / place
        if not folder.is_dir():
            with fresh_folder(folder) as fresh:
                _download(client, version, fresh)
        return folder
    except ValueError:
        raise
    except Exception as error:  # each kind of store has its own
        raise ValueError(f"{address} cannot be read from {uri}: {error}") from error


def fetch_network(root: Path, version: Version, into: Path) -> Path:
    """Copy the network of a version into a folder.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return _download(_client(tracking_uri(root)), version, into)
    except Exception as error:
        raise OSError(f"its files cannot be read: {error}") from error


def _download(client: MlflowClient, version: Version, into: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    found = Path(download_artifacts(f"{version.source}/{_NETWORK}", tracking_uri=client.tracking_uri))
    (network,) = (place for place in found.iterdir() if place.is_dir())
    for path in network.rglob("*"):
        if path.is_file():
            target = into / path.relative_to(network)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return into


def _client(uri: str) -> MlflowClient:
    prepare()
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)
