"""A registered network as MLflow loads and serves it. This file travels with the model as code; nothing is pickled.

Only MLflow reads this module, so it may import mlflow and set the model as it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
from numpy.typing import NDArray

from tatsnet.restorer import Restorer

_AXES = ("deblur", "denoise", "dejpeg")


class RestorationModel(mlflow.pyfunc.PythonModel):
    """Restores one photo, or the rows of a table, each with its own task."""

    def load_context(self, context: Any) -> None:
        self._restorer = Restorer.load(context.artifacts["network"])

    # MLflow reads type hints here as a schema of its own kind and warns about every other.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Restore.

        Args:
            model_input: a mapping with `image` (H x W x 3, whole numbers 0 to 255) and `task` (deblur, denoise and
                dejpeg, each 0 to 1, as three numbers or as a mapping); or a DataFrame with these columns.

        Returns:
            The restored photo, uint8, H x W x 3; for a DataFrame a list with one per row.

        Raises:
            ValueError: another shape, type or range.
        """
        if isinstance(model_input, Mapping):
            return self._restore(model_input)
        return [self._restore(row) for row in model_input.to_dict(orient="records")]

    def _restore(self, asked: Mapping[str, Any]) -> NDArray[np.uint8]:
        missing = {"image", "task"} - set(asked)
        if missing:
            raise ValueError(f"the input lacks {sorted(missing)}: it needs image (H x W x 3) and task {_AXES}")
        encoded = self._restorer.encode(_image(asked["image"]))
        restored_HWC = self._restorer.effect(encoded, _task(asked["task"]))
        return (np.clip(np.asarray(restored_HWC), 0, 1) * 255).round().astype(np.uint8)


def _image(value: Any) -> NDArray[np.float32]:
    image_HWC = np.asarray(value)
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype.kind not in "iu":
        raise ValueError(
            f"image must be H x W x 3 whole numbers from 0 to 255, got {image_HWC.dtype} of shape {image_HWC.shape}"
        )
    if image_HWC.size == 0 or image_HWC.min() < 0 or image_HWC.max() > 255:
        raise ValueError("image must hold whole numbers from 0 to 255 and must not be empty")
    return image_HWC.astype(np.float32) / np.float32(255)


def _task(value: Mapping[str, float] | Sequence[float]) -> tuple[float, float, float]:
    if isinstance(value, Mapping):
        value = [value.get(axis, 0.0) for axis in _AXES]
    levels = np.asarray(value, dtype=float)
    if levels.shape != (3,) or not np.isfinite(levels).all() or levels.min() < 0 or levels.max() > 1:
        raise ValueError(f"task must be three numbers from 0 to 1 ({', '.join(_AXES)}), got {value}")
    deblur, denoise, dejpeg = levels.tolist()
    return deblur, denoise, dejpeg


mlflow.models.set_model(RestorationModel())
