"""What a found network makes of one photo: 27 effects on a sheet, so that a trial can be looked at."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image as Pillow

from tatsnet.data.degradation import GRID, Degradation
from tatsnet.quality.evaluation import EvalPhoto, Restore, degraded_grid, restore_all

DEGRADED = degraded_grid().index(Degradation(2.0, 25.0, 60))
"""Which of a photo's 26 versions is restored: the middle of every axis."""

SIDE, GAP = 96, 2
"""Pixels."""


def effects_sheet(restore: Restore, photo: EvalPhoto, device: torch.device) -> bytes:
    """A JPEG of 3 x 10 details of at most 96 pixels: the clean photo above the degraded one, then the effects.

    Rows are the levels of deblur; columns those of denoise within those of dejpeg.
    """
    degraded = photo.degraded[DEGRADED]
    effects = [restore_all(restore, [degraded], [task], device)[0] for task in GRID]
    levels = [sorted({task[axis] for task in GRID}) for axis in range(3)]
    height, width = (min(side, SIDE) for side in degraded.shape[:2])
    sheet = np.full((3 * (height + GAP) - GAP, 10 * (width + GAP) - GAP, 3), 128, np.uint8)
    places = {(0, 0): photo.clean, (1, 0): degraded}
    for task, effect in zip(GRID, effects, strict=True):
        deblur, denoise, dejpeg = (levels[axis].index(level) for axis, level in enumerate(task))
        places[deblur, 1 + 3 * dejpeg + denoise] = effect
    for (row, column), image in places.items():
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width] = image[:height, :width]
    buffer = io.BytesIO()
    Pillow.fromarray(sheet).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
