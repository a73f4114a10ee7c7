"""An extracted network as a version of a registered model: a pyfunc over safetensors, nothing pickled."""

from __future__ import annotations

import base64
import io
import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.tracking.api import Version
from pipeline.tracking.portable_model import forget_folders
from pipeline.tracking.requirements import requirements

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SLIDERS = ("deblur", "denoise", "dejpeg")
_EXAMPLE_SIDE = 16


def register_folder(
    client: MlflowClient,
    run_id: str,
    name: str,
    folder: Path,
    tags: Mapping[str, str],
    aliases: Sequence[str],
    card: str,
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
        forget_folders(model)
        client.log_artifacts(run_id, str(model), place)
    _ensure_name(client, name)
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    made = client.create_model_version(name, source, run_id=run_id, tags={k: str(v) for k, v in tags.items()})
    if card:
        client.update_model_version(name, made.version, card.replace("VERSION", str(made.version)))
    for alias in aliases:
        client.set_registered_model_alias(name, alias, made.version)
    return str(made.version)


def find_version(client: MlflowClient, name: str, which: str) -> Version | None:
    """The version with this number or alias; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        if which.isdigit():
            found = client.get_model_version(name, which)
        else:
            found = client.get_model_version_by_alias(name, which)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return Version(
        model=name,
        version=str(found.version),
        source=str(found.source),
        tags=dict(found.tags),
        aliases=tuple(found.aliases),
    )


def _save(model: Path, folder: Path) -> None:
    import mlflow.pyfunc

    library, serving = _library(), Path(__file__).with_name("serving.py")
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # a line for each example that it looks at
    # MLflow's advice on type hints is for models that take lists; it passes by a filter, so it is recorded and dropped.
    with warnings.catch_warnings(record=True):
        mlflow.pyfunc.save_model(
            path=str(model),
            python_model=str(serving),
            artifacts={"network": str(folder.resolve())},
            code_paths=[str(library)],
            signature=_signature(),
            input_example=_example(),
            pip_requirements=requirements(library, serving),
        )


def _signature() -> Any:
    """The sliders alone: MLflow has no schema that takes arrays, tables and files alike, so the model checks those."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import DataType, ParamSchema, ParamSpec

    sliders = [ParamSpec(axis, DataType.double, 0.0) for axis in _SLIDERS]
    return ModelSignature(params=ParamSchema([*sliders, ParamSpec("even", DataType.boolean, False)]))


def _example() -> Any:
    """A table of one small photo, a PNG file in base64, as it goes over the network."""
    import pandas as pd
    from PIL import Image

    side = np.arange(_EXAMPLE_SIDE, dtype=np.uint8) * 8
    pixels = np.stack(np.broadcast_arrays(side[:, None], side[None], np.uint8(128)), axis=2)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    photo = base64.b64encode(file.getvalue()).decode()
    return pd.DataFrame([{"image": photo, "deblur": 0.5, "denoise": 0.3, "dejpeg": 0.0}])


def _library() -> Path:
    spec = find_spec("tatsnet")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package tatsnet is not installed: run pip install -e .")
    return Path(spec.origin).parent


def _ensure_name(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
