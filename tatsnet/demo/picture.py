"""A photo under the sliders: its previews, each encoded once, and its restoration at full size."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

import cv2
import numpy as np
from PIL import Image

from tatsnet.network.tasks import Task
from tatsnet.photos.files import Metadata, Photo, Pixels, photo_bytes, to_uint8
from tatsnet.restorer import Encoded, Restorer

DETAIL = 160
"""Side, in pixels, of the detail that the sheet of effects shows."""

_KEPT_SIZES = 8


class Picture:
    """A photo, and what has been computed of it. May be used by several threads.

    Args:
        photo: as it was read.
        name: of its file.
        restorer: restores it.
    """

    def __init__(self, photo: Photo, name: str, restorer: Restorer) -> None:
        self.photo, self.name = photo, name
        self._restorer = restorer
        self._encoded: dict[int, Encoded] = {}
        self._last: tuple[Task, Pixels] | None = None
        self._lock = Lock()

    @property
    def pixels(self) -> int:
        """How many pixels the photo has."""
        height, width = self.photo.rgb_HWC.shape[:2]
        return int(height * width)

    def scaled(self, size: int) -> Pixels:
        """The photo with a longer side of at most so many pixels, as it is shown before restoration."""
        height, width = self.photo.rgb_HWC.shape[:2]
        scale = size / max(height, width)
        if scale >= 1:
            return self.photo.rgb_HWC
        to = (max(1, round(width * scale)), max(1, round(height * scale)))
        small_HWC = cv2.resize(self.photo.rgb_HWC, to, interpolation=cv2.INTER_AREA)
        return np.clip(np.asarray(small_HWC, np.float32), 0, 1)

    def prepare(self, size: int) -> None:
        """Compute the part that all previews of a size share, once."""
        self._encode(size, lambda: self.scaled(size))

    def preview(self, size: int, task: Task) -> Pixels:
        """The scaled photo, restored; the part that all effects share is computed the first time alone."""
        return self._restorer.effect(self._encode(size, lambda: self.scaled(size)), task)

    def detail(self, task: Task) -> Pixels:
        """A square from the middle of the photo at full size, restored."""
        return self._restorer.effect(self._encode(0, self._middle), task)

    def full(self, task: Task, report: Callable[[float], None]) -> Pixels:
        """The photo restored as `tatsnet restore` does it; the last one is kept.

        Args:
            task: the sliders.
            report: told the share that is done; what it raises ends the work.
        """
        last = self._last
        if last is not None and last[0] == task:
            return last[1]
        restored_HWC = self._restorer.restore(self.photo.rgb_HWC, task, report)
        self._last = (task, restored_HWC)
        return restored_HWC

    def shown(self, rgb_HWC: Pixels, *, lossless: bool) -> tuple[bytes, str]:
        """A file for the browser, in the photo's colours, and its media type."""
        if lossless:
            colours = Metadata(icc=None if self.photo.grey else self.photo.metadata.icc)
            plain = replace(self.photo, depth=8, rgb_HWC=rgb_HWC, metadata=colours)
            return photo_bytes("shown.png", plain, rgb_HWC), "image/png"
        buffer = io.BytesIO()
        icc = None if self.photo.grey else self.photo.metadata.icc
        image = Image.fromarray(to_uint8(rgb_HWC))
        image.save(buffer, "JPEG", quality=90, subsampling=0, icc_profile=icc)
        return buffer.getvalue(), "image/jpeg"

    def _encode(self, size: int, make: Callable[[], Pixels]) -> Encoded:
        with self._lock:
            encoded = self._encoded.get(size)
        if encoded is None:
            encoded = self._restorer.encode(make())
            with self._lock:
                while len(self._encoded) >= _KEPT_SIZES:
                    self._encoded.pop(next(iter(self._encoded)))
                self._encoded[size] = encoded
        return encoded

    def _middle(self) -> Pixels:
        height, width = self.photo.rgb_HWC.shape[:2]
        top, left = max(0, (height - DETAIL) // 2), max(0, (width - DETAIL) // 2)
        return self.photo.rgb_HWC[top : top + DETAIL, left : left + DETAIL]
