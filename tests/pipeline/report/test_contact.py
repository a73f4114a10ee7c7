from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.report.contact import CELL, SHEET_SIZE, best_effect, contact_sheet, detail_box
from tatsnet.data.degradation import Image
from tests.pipeline.report.factory import noisy_photo, pictures


@pytest.mark.parametrize(("height", "width"), [(60, 90), (208, 208), (301, 467), (1, 2), (900, 230)])
def test_the_sheet_has_one_size_for_every_photo(height: int, width: int) -> None:
    sheet = contact_sheet(pictures(height, width))
    assert sheet.shape == (SHEET_SIZE[1], SHEET_SIZE[0], 3)
    assert sheet.dtype == np.uint8


def places(sheet: Image, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Centres (x, y) of the cells that are filled with a colour."""
    found = []
    same = (sheet == np.array(colour, np.uint8)).all(axis=2)
    ys, xs = np.nonzero(same)
    while len(xs):
        x, y = int(xs[0]), int(ys[0])
        same[y : y + CELL, x : x + CELL] = False
        found.append((x + CELL // 2, y + CELL // 2))
        ys, xs = np.nonzero(same)
    return found


def test_each_effect_stands_where_its_task_vector_says() -> None:
    plain = pictures(CELL, CELL)
    colours = {task: (250 - 40 * n // 9, 7 * n, 3 + n) for n, (task, _) in enumerate(plain.effects)}
    effects = tuple((task, np.full_like(plain.clean, colours[task])) for task, _ in reversed(plain.effects))
    sheet = contact_sheet(dataclasses.replace(plain, effects=effects))
    centre = {task: places(sheet, colour) for task, colour in colours.items()}
    assert all(len(found) == 1 for found in centre.values())
    rows = {level: {centre[t][0][1] for t in centre if t[0] == level} for level in plain.levels[0]}
    assert all(len(row) == 1 for row in rows.values())
    assert [min(row) for row in rows.values()] == sorted(min(row) for row in rows.values())
    first_row = [centre[t][0][0] for t in sorted(centre, key=lambda t: (t[2], t[1])) if t[0] == 0]
    assert first_row == sorted(first_row)
    assert len(set(first_row)) == 9


def test_the_effect_nearest_to_the_clean_photo_is_found() -> None:
    assert best_effect(pictures()) == (0.5, 0.5, 42 / 92)


def test_the_detail_is_the_busiest_place() -> None:
    left, top, right, bottom = detail_box(noisy_photo(400, 600), side=100)
    assert (right - left, bottom - top) == (100, 100)
    assert left >= 300
    assert top >= 200


def test_a_small_photo_is_its_own_detail() -> None:
    assert detail_box(noisy_photo(60, 60)) == (0, 0, 60, 60)
