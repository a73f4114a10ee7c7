"""A photo under the sliders: the views that are shown, each encoded once, and its restoration at full size."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

import cv2
import numpy as np
from PIL import Image

from tatsnet.demo.views import View, views
from tatsnet.network.tasks import Task
from tatsnet.photos.files import Metadata, Photo, Pixels, photo_bytes, to_uint8
from tatsnet.restorer import Box, Encoded, Restorer

BEFORE = 640
"""Longer side, in pixels, of the photo as it is before its full size has come."""

DETAIL = 160
"""Side, in pixels, of the detail that the sheet of effects shows."""

_KEPT_PIXELS = 3 * 2**19
"""Of encoded views together, some 80 bytes each; the last one is kept whatever its size."""


class Picture:
    """A photo, and what has been computed of it. May be used by several threads.

    Args:
        photo: as it was read.
        name: of its file.
        restorer: restores it.
    """

    def __init__(self, photo: Photo, name: str, restorer: Restorer) -> None:
        self.photo, self.name = photo, name
        self.height, self.width = map(int, photo.rgb_HWC.shape[:2])
        self._restorer = restorer
        self._encoded: OrderedDict[View, Encoded] = OrderedDict()
        self._last: tuple[Task, Pixels] | None = None
        self._lock = Lock()

    @property
    def pixels(self) -> int:
        """How many pixels the photo has."""
        return self.height * self.width

    @property
    def whole(self) -> Box:
        """All of the photo."""
        return Box(0, 0, self.height, self.width)

    @property
    def middle(self) -> View:
        """A square of `DETAIL` pixels at full size, as far as there are so many."""
        top, left = max(0, (self.height - DETAIL) // 2), max(0, (self.width - DETAIL) // 2)
        box = Box(top, left, min(self.height, top + DETAIL), min(self.width, left + DETAIL))
        return self.views(box, max(self.height, self.width))[0]

    def views(self, box: Box, wanted: int) -> list[View]:
        """Of a rectangle of the photo: see `tatsnet.demo.views`."""
        return views(self.height, self.width, box, wanted)

    def scaled(self, height: int, width: int) -> Pixels:
        """The photo at a smaller size, before restoration."""
        if (height, width) == (self.height, self.width):
            return self.photo.rgb_HWC
        small_HWC = cv2.resize(self.photo.rgb_HWC, (width, height), interpolation=cv2.INTER_AREA)
        return np.clip(np.asarray(small_HWC, np.float32), 0, 1)

    def prepare(self, view: View) -> Encoded:
        """Compute the part that all effects of a view share; once, as long as it is kept."""
        with self._lock:
            encoded = self._encoded.get(view)
            if encoded is not None:
                self._encoded.move_to_end(view)
                return encoded
        encoded = self._restorer.encode(self.scaled(view.height, view.width), view.box)
        with self._lock:
            self._encoded[view] = encoded
            while len(self._encoded) > 1 and sum(kept.pixels for kept in self._encoded) > _KEPT_PIXELS:
                self._encoded.popitem(last=False)
        return encoded

    def preview(self, view: View, task: Task) -> Pixels:
        """A view, restored: what the whole scaled photo would be there."""
        return self._restorer.effect(self.prepare(view), task)

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
