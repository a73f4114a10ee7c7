"""The contact sheet of `tatsnet effects`: the same detail of the photo under every effect, labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tatsnet.cli.errors import shown
from tatsnet.network.tasks import Task
from tatsnet.photos.files import Pixels, to_uint8

CELL = 192
"""Side of a cell's picture, pixels."""

GAP, STRIP, MARGIN, HEAD = 8, 24, 24, 40
PAPER, INK, MUTED, MARK = (28, 28, 30), (236, 236, 236), (170, 170, 176), (240, 180, 60)

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


class ContactSheet:
    """Rows are the levels of deblur, columns those of denoise within those of dejpeg; at the left is the photo.

    Args:
        photo_HWC: the photo before restoration, in [0, 1].
        levels: on each axis, growing.
        title: above the sheet.
    """

    def __init__(self, photo_HWC: Pixels, levels: Sequence[float], title: str) -> None:
        self._levels = list(levels)
        self._box = detail_box(photo_HWC)
        count = len(self._levels)
        columns = 1 + count * count
        size = (
            2 * MARGIN + columns * (CELL + GAP) + count * GAP,
            2 * MARGIN + HEAD + max(count, 2) * (CELL + STRIP + GAP),
        )
        self._sheet = Image.new("RGB", size, PAPER)
        self._draw = ImageDraw.Draw(self._sheet)
        head = f"{shown(title)}: deblur downwards, denoise and dejpeg to the right"
        self._write(MARGIN, MARGIN, head, INK, 20, size[0] - 2 * MARGIN)
        self._paste(self._corner(0, 0), self._whole(photo_HWC), "the photo", MUTED)
        self._paste(self._corner(1, 0), _cut(photo_HWC, self._box), "its detail", MUTED)

    def add(self, task: Task, restored_HWC: Pixels) -> None:
        """Put an effect into its place."""
        row, denoise, dejpeg = (self._levels.index(level) for level in task)
        label = "  ".join(
            f"{letter}{level:g}" for letter, level in zip(("blur ", "noise ", "jpeg "), task, strict=True)
        )
        at = self._corner(row, 1 + dejpeg * len(self._levels) + denoise)
        self._paste(at, _cut(restored_HWC, self._box), label, INK)

    def picture(self) -> Pixels:
        """The sheet as H x W x 3 in [0, 1]."""
        return np.asarray(self._sheet, np.float32) / np.float32(255)

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        group = 0 if column == 0 else 1 + (column - 1) // len(self._levels)
        return MARGIN + column * (CELL + GAP) + group * GAP, MARGIN + HEAD + row * (CELL + STRIP + GAP)

    def _whole(self, photo_HWC: Pixels) -> Image.Image:
        height, width = photo_HWC.shape[:2]
        scale = CELL / max(height, width)
        step = max(1, int(0.5 / scale))
        small = Image.fromarray(to_uint8(photo_HWC[::step, ::step]))
        picture = small.resize((max(1, round(width * scale)), max(1, round(height * scale))))
        left, top, right, bottom = (round(edge * scale) for edge in self._box)
        ImageDraw.Draw(picture).rectangle(
            (left, top, max(left, right - 1), max(top, bottom - 1)), outline=MARK, width=2
        )
        return picture

    def _paste(self, at: tuple[int, int], picture: Image.Image, label: str, ink: tuple[int, int, int]) -> None:
        x, y = at
        self._sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
        self._write(x, y + CELL + 4, label, ink, 13, CELL)

    def _write(self, x: int, y: int, text: str, ink: tuple[int, int, int], size: int, room: int) -> None:
        font = ImageFont.load_default(size)
        while len(text) > 1 and self._draw.textlength(text, font=font) > room:
            text = text[:-2] + "…"
        self._draw.text((x, y), text, fill=ink, font=font)


def detail_box(photo_HWC: Pixels, side: int = CELL) -> Box:
    """The square with most detail (mean absolute gradient) among squares half a side apart; small photos whole."""
    height, width = photo_HWC.shape[:2]
    grey_HW = photo_HWC.mean(axis=2)
    detail_HW = np.abs(np.diff(grey_HW, axis=0, append=grey_HW[-1:]))
    detail_HW += np.abs(np.diff(grey_HW, axis=1, append=grey_HW[:, -1:]))
    boxes = [
        (left, top, min(left + side, width), min(top + side, height))
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]
    return max(boxes, key=lambda box: float(detail_HW[box[1] : box[3], box[0] : box[2]].sum()))


def _starts(length: int, side: int) -> list[int]:
    last = max(0, length - side)
    return sorted({*range(0, last, side // 2), last})


def _cut(picture_HWC: Pixels, box: Box) -> Image.Image:
    left, top, right, bottom = box
    detail: npt.NDArray[np.uint8] = to_uint8(picture_HWC[top:bottom, left:right])
    scale = max(1, CELL // max(detail.shape[:2]))
    return Image.fromarray(detail.repeat(scale, axis=0).repeat(scale, axis=1))
