"""A saved model without the folders of the machine that saved it: MLflow notes them and never reads them again."""

from __future__ import annotations

from pathlib import Path


def forget_folders(model: Path) -> None:
    """Leave only names of the paths that MLflow has noted in a model's `MLmodel`.

    Args:
        model: the model's folder.
    """
    from mlflow.models import Model

    saved = Model.load(str(model))
    for flavor in saved.flavors.values():
        if "model_code_path" in flavor:
            flavor["model_code_path"] = Path(flavor["model_code_path"]).name
        for artifact in flavor.get("artifacts", {}).values():
            artifact["uri"] = artifact["path"]
    saved.save(str(model / "MLmodel"))
