"""A growing slider as a picture: one row per network, one column per position, the clean detail at the end."""

from __future__ import annotations

import io

from PIL import Image as Pillow
from PIL import ImageDraw

from pipeline.report.contact import decibels, font, level_text
from pipeline.report.pictures import Modulation

_SIDE, _GAP, _HEAD, _STRIP = 96, 6, 40, 36
_PAPER, _INK, _MUTED = (30, 30, 32), (236, 236, 236), (176, 176, 180)


def modulation_jpeg(shown: Modulation) -> bytes:
    """A JPEG file; below each image stands its PSNR."""
    height, width = shown.clean.shape[:2]
    columns, rows = [*map(level_text, shown.positions), "clean"], list(shown.rows)
    size = _SIDE + len(columns) * (width + _GAP) + _GAP, _HEAD + len(rows) * (height + _STRIP) + _GAP
    picture = Pillow.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for column, name in enumerate(columns):
        draw.text((_left(column, width) + width / 2, _HEAD / 2), name, _INK, font(28), anchor="mm")
    for row, name in enumerate(rows):
        top = _HEAD + row * (height + _STRIP)
        draw.text((_SIDE - 8, top + height / 2), name, _MUTED, font(26), anchor="rm")
        for column, image in enumerate([*shown.rows[name], *([shown.clean] if row == 0 else [])]):
            left = _left(column, width)
            picture.paste(Pillow.fromarray(image), (left, top))
            if image is not shown.clean:
                below = decibels(image, shown.clean)
                draw.text((left + width / 2, top + height + _STRIP / 2), below, _MUTED, font(25), anchor="mm")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _left(column: int, width: int) -> int:
    return _SIDE + column * (width + _GAP)
