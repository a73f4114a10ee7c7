"""A registered network as MLflow loads and serves it. This file travels with the model as code; nothing is pickled.

Only MLflow reads this module, so it may import mlflow and set the model as it is read.
"""

from __future__ import annotations

import base64
import binascii
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tatsnet.photos.files import PhotoError, read_photo
from tatsnet.restorer import Restorer

_AXES = ("deblur", "denoise", "dejpeg")
_MOST_BYTES = 64 * 2**20
"""Of one encoded photo."""

Task = tuple[float, float, float]
Restored = NDArray[np.uint8] | bytes | str


class RestorationModel(mlflow.pyfunc.PythonModel):
    """Restores photos, each by its own sliders or all by those in `params`."""

    def load_context(self, context: Any) -> None:
        self._restorer = Restorer.load(context.artifacts["network"])

    # MLflow reads type hints here as a schema of its own kind and warns about every other.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Restore.

        A photo is an array (H x W x 3, whole numbers 0 to 255), nested lists of the same, or the bytes of a PNG, JPEG,
        TIFF or WebP file, which as text are base64. What comes back is of the same kind: a uint8 array, or a PNG file.

        Args:
            model_input: a photo; several (a list, or B x H x W x 3); a mapping with `image`; or a DataFrame with a
                column `image`. Mapping and table may hold sliders as well: `deblur`, `denoise` and `dejpeg`, or `task`
                (all three, as numbers in this order or as a mapping).
            params: the sliders of whatever says none itself, each 0 to 1; 0 without. With `even` all numbers are
                positions of even sliders (`Restorer.sliders`), not levels of the task vector.

        Returns:
            The restored photo; a list where several were given, as in a table, even of one row.

        Raises:
            ValueError: another shape, type or range, or a file that is no photo.
        """
        params = params or {}
        default, even = {axis: params.get(axis, 0.0) for axis in _AXES}, bool(params.get("even", False))
        if isinstance(model_input, Mapping):
            return self._row(model_input, default, even)
        if hasattr(model_input, "to_dict"):
            return [self._row(row, default, even) for row in model_input.to_dict(orient="records")]
        if _is_one(model_input):
            return self._restore(model_input, _task(default), even)
        return [self._restore(image, _task(default), even) for image in model_input]

    def _row(self, row: Mapping[str, Any], default: Mapping[str, float], even: bool) -> Restored:
        if "image" not in row:
            raise ValueError(f"the input lacks 'image'; it needs image and, if wanted, {', '.join(_AXES)} or task")
        own = {axis: row.get(axis, default[axis]) for axis in _AXES}
        return self._restore(row["image"], _task(row.get("task", own)), even)

    def _restore(self, image: Any, task: Task, even: bool) -> Restored:
        encoded = isinstance(image, str | bytes)
        photo_HWC = _decoded(image) if encoded else _checked(image)
        task = self._restorer.sliders.task(task) if even else task
        restored_HWC = np.asarray(self._restorer.effect(self._restorer.encode(photo_HWC), task))
        pixels = (np.clip(restored_HWC, 0, 1) * 255).round().astype(np.uint8)
        if not encoded:
            return pixels
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode() if isinstance(image, str) else file.getvalue()


def _is_one(value: Any) -> bool:
    """Whether this is one photo, and not several."""
    if isinstance(value, str | bytes):
        return True
    if isinstance(value, Sequence) and any(isinstance(one, str | bytes) for one in value):
        return False
    array = np.asarray(value)
    return array.ndim == 3 or (array.ndim == 0 and array.dtype.kind in "US")


def _decoded(file: str | bytes) -> NDArray[np.float32]:
    if len(file) > 2 * _MOST_BYTES:
        raise ValueError(f"the photo has more than {_MOST_BYTES >> 20} MiB")
    try:
        data = base64.b64decode(file, validate=True) if isinstance(file, str) else file
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"a photo given as text is a PNG, JPEG, TIFF or WebP file in base64: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        path.write_bytes(data)
        try:
            return read_photo(path).rgb_HWC
        except PhotoError as error:
            raise ValueError(str(error).replace(str(path), "the photo")) from error


def _checked(value: Any) -> NDArray[np.float32]:
    image_HWC = np.asarray(value)
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or image_HWC.dtype.kind not in "iu":
        raise ValueError(
            f"image must be H x W x 3 whole numbers from 0 to 255, got {image_HWC.dtype} of shape {image_HWC.shape}"
        )
    if image_HWC.size == 0 or image_HWC.min() < 0 or image_HWC.max() > 255:
        raise ValueError("image must hold whole numbers from 0 to 255 and must not be empty")
    return image_HWC.astype(np.float32) / np.float32(255)


def _task(value: Mapping[str, float] | Sequence[float]) -> Task:
    if isinstance(value, Mapping):
        value = [value.get(axis, 0.0) for axis in _AXES]
    levels = np.asarray(value, dtype=float)
    if levels.shape != (3,) or not np.isfinite(levels).all() or levels.min() < 0 or levels.max() > 1:
        raise ValueError(f"task must be three numbers from 0 to 1 ({', '.join(_AXES)}), got {value}")
    deblur, denoise, dejpeg = levels.tolist()
    return deblur, denoise, dejpeg


mlflow.models.set_model(RestorationModel())
