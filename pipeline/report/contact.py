"""A contact sheet: 27 effects of one photo on a grid of their task vectors, the input and the clean photo beside it."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from pipeline.report.pictures import Pictures
from tatsnet.data.degradation import Image
from tatsnet.network.tasks import AXES
from tatsnet.quality.metrics import psnr

CELL = 208
"""Side of a cell's picture, pixels."""

_GAP, _MARGIN, _STRIP, _HEAD, _SIDE = 8, 24, 32, 96, 92
_PAPER, _INK, _MUTED, _MARK = (30, 30, 32), (236, 236, 236), (176, 176, 180), (240, 180, 60)
SHEET_SIZE = (
    2 * _MARGIN + _SIDE + 10 * (CELL + _GAP) + 4 * _GAP,
    2 * _MARGIN + _HEAD + 3 * (CELL + _STRIP + _GAP),
)
"""Width and height of every contact sheet, pixels."""


def contact_sheet(pictures: Pictures) -> Image:
    """The sheet, uint8 RGB of `SHEET_SIZE`.

    Rows are the levels of deblur; columns those of denoise within those of dejpeg. Each cell shows the same detail
    at one screen pixel per pixel (small photos whole and enlarged), where the clean photo has most of it. Below it
    stand the task vector and the PSNR to the clean photo; the effect nearest to it is framed.
    """
    sheet = Pillow.new("RGB", SHEET_SIZE, _PAPER)
    draw = ImageDraw.Draw(sheet)
    box = detail_box(pictures.clean)
    deblur, denoise, dejpeg = pictures.levels
    best = best_effect(pictures)
    _titles(draw, pictures)
    _beside(sheet, draw, pictures, box)
    for task, image in pictures.effects:
        column = 3 * dejpeg.index(task[2]) + denoise.index(task[1])
        at = _corner(1 + column, deblur.index(task[0]))
        caption = "  ".join(level_text(level) for level in task)
        _cell(sheet, draw, at, detail(image, box), caption, decibels(image, pictures.clean), _INK)
        if task == best:
            x, y = at
            draw.rectangle((x - 3, y - 3, x + CELL + 2, y + CELL + 2), outline=_MARK, width=3)
    return np.asarray(sheet)


def sheet_jpeg(pictures: Pictures) -> bytes:
    """The contact sheet as a JPEG file."""
    buffer = io.BytesIO()
    Pillow.fromarray(contact_sheet(pictures)).save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def best_effect(pictures: Pictures) -> tuple[float, float, float]:
    """Task vector of the effect nearest to the clean photo by PSNR."""
    return max(pictures.effects, key=lambda effect: psnr(effect[1], pictures.clean))[0]


def detail_box(clean: Image, side: int = CELL) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the square of at most `side` pixels with most detail (mean absolute gradient)."""
    height, width = clean.shape[:2]
    side = min(side, height, width)
    grey = clean.astype(np.float32).mean(axis=2)
    slope = np.zeros_like(grey)
    slope[:, 1:] += np.abs(np.diff(grey, axis=1))
    slope[1:] += np.abs(np.diff(grey, axis=0))
    table = np.pad(slope.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    top, left = (int(place) for place in np.unravel_index(int(sums.argmax()), sums.shape))
    return left, top, left + side, top + side


def _titles(draw: ImageDraw.ImageDraw, pictures: Pictures) -> None:
    deblur, denoise, dejpeg = pictures.levels
    large, small = font(28), font(22)
    y = _MARGIN + _HEAD
    for block, level in enumerate(dejpeg):
        left, right = _corner(1 + 3 * block, 0)[0], _corner(3 + 3 * block, 0)[0] + CELL
        draw.text(((left + right) / 2, y - 72), f"{AXES[2]} {level_text(level)}", _INK, large, anchor="mm")
        draw.line((left, y - 50, right, y - 50), _MUTED, 1)
        for step, noise in enumerate(denoise):
            x = _corner(1 + 3 * block + step, 0)[0] + CELL / 2
            draw.text((x, y - 24), f"{AXES[1]} {level_text(noise)}", _MUTED, small, anchor="mm")
    for row, level in enumerate(deblur):
        x, top = _corner(1, row)
        draw.text(
            (x - 12, top + CELL / 2), f"{AXES[0]}\n{level_text(level)}", _MUTED, small, anchor="rm", align="right"
        )


def _beside(sheet: Pillow.Image, draw: ImageDraw.ImageDraw, pictures: Pictures, box: tuple[int, int, int, int]) -> None:
    whole = Pillow.fromarray(pictures.clean)
    scale = CELL / max(whole.size)
    whole = whole.resize((max(1, round(whole.width * scale)), max(1, round(whole.height * scale))))
    framed = ImageDraw.Draw(whole)
    if box[2] - box[0] < max(pictures.clean.shape[:2]):
        framed.rectangle([round(edge * scale) - (n > 1) for n, edge in enumerate(box)], outline=_MARK, width=2)
    _cell(sheet, draw, _corner(0, 0), whole, "the photo", "", _MUTED)
    given = decibels(pictures.input_image, pictures.clean)
    _cell(sheet, draw, _corner(0, 1), detail(pictures.input_image, box), "input", given, _INK)
    _cell(sheet, draw, _corner(0, 2), detail(pictures.clean, box), "clean", "", _INK)


def _cell(
    sheet: Pillow.Image,
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    picture: Pillow.Image,
    left: str,
    right: str,
    ink: tuple[int, int, int],
) -> None:
    sheet.paste(picture, (at[0] + (CELL - picture.width) // 2, at[1] + (CELL - picture.height) // 2))
    y = at[1] + CELL + _STRIP / 2 + 2
    draw.text((at[0] + 1, y), left, ink, font(20), anchor="lm")
    draw.text((at[0] + CELL - 1, y), right, _MUTED, font(20), anchor="rm")


def _corner(column: int, row: int) -> tuple[int, int]:
    """Top left of a cell; column 0 stands apart, and so do the three blocks of columns."""
    apart = (_SIDE + _GAP if column else 0) + (max(column - 1, 0) // 3) * _GAP
    return _MARGIN + apart + column * (CELL + _GAP), _MARGIN + _HEAD + row * (CELL + _STRIP + _GAP)


def detail(image: Image, box: tuple[int, int, int, int]) -> Pillow.Image:
    """What lies in a box (left, top, right, bottom), enlarged a whole number of times to at most a cell."""
    cut = Pillow.fromarray(image).crop(box)
    times = max(1, CELL // cut.width)
    return cut.resize((cut.width * times, cut.height * times), Pillow.Resampling.NEAREST)


def decibels(image: Image, clean: Image) -> str:
    """PSNR in words."""
    value = psnr(image, clean)
    return "identical" if math.isinf(value) else f"{value:.1f} dB"


def level_text(level: float) -> str:
    """`0`, `0.25`, `1`."""
    return f"{level:.2f}".rstrip("0").rstrip(".")


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Of a height in pixels."""
    return ImageFont.load_default(size)
