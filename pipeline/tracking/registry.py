"""An extracted network as a version of a registered model: a pyfunc over safetensors, nothing pickled."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_NEEDS = ("mlflow", "numpy", "safetensors", "torch")


def register_folder(
    client: MlflowClient,
    run_id: str,
    name: str,
    folder: Path,
    tags: Mapping[str, str],
    aliases: Sequence[str],
) -> str:
    """Keep the network with its run as a servable model, and make that the newest version of `name`.

    The model carries the library's code and the exact versions it needs, so it loads without this project.

    Returns:
        The version.
    """
    place = f"models/{folder.name}"
    with tempfile.TemporaryDirectory(prefix="tatsnet-model-") as scratch:
        model = Path(scratch) / "model"
        _save(model, folder)
        client.log_artifacts(run_id, str(model), place)
    _ensure_name(client, name)
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    made = client.create_model_version(name, source, run_id=run_id, tags={k: str(v) for k, v in tags.items()})
    for alias in aliases:
        client.set_registered_model_alias(name, alias, made.version)
    return str(made.version)


def _save(model: Path, folder: Path) -> None:
    import mlflow.pyfunc

    # MLflow's advice on type hints is for models that take lists; it passes by a filter, so it is recorded and dropped.
    with warnings.catch_warnings(record=True):
        mlflow.pyfunc.save_model(
            path=str(model),
            python_model=str(Path(__file__).with_name("serving.py")),
            artifacts={"network": str(folder.resolve())},
            code_paths=[_library()],
            pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in _NEEDS],
        )


def _library() -> str:
    spec = find_spec("tatsnet")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package tatsnet is not installed: run pip install -e .")
    return str(Path(spec.origin).parent)


def _ensure_name(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
