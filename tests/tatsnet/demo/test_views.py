"""A view covers the rectangle that the page shows, at the screen's scale and at smaller ones."""

from __future__ import annotations

import pytest

from tatsnet.demo.views import MOST_PIXELS, views
from tatsnet.restorer import Box


@pytest.mark.parametrize(("height", "width"), [(4000, 6000), (6000, 4000), (300, 451), (1, 1), (1, 900)])
@pytest.mark.parametrize("wanted", [0, 640, 2000, 10**9])
@pytest.mark.parametrize("parts", [(0.0, 0.0, 1.0, 1.0), (0.0, 0.503, 1.0, 1.0), (0.7, 0.1, 0.9, 0.11)])
def test_every_view_covers_the_rectangle(
    height: int, width: int, wanted: int, parts: tuple[float, float, float, float]
) -> None:
    top, left = int(parts[0] * height), int(parts[1] * width)
    box = Box(top, left, max(top + 1, int(parts[2] * height)), max(left + 1, int(parts[3] * width)))
    made = views(height, width, box, wanted)
    sizes = [view.size for view in made]
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[0] >= min(wanted, max(height, width)) or made[0].pixels > MOST_PIXELS / 4
    assert all(view.pixels <= MOST_PIXELS for view in made)
    for view in made:
        assert max(view.height, view.width) == view.size
        assert 0 <= view.box.top < view.box.bottom <= view.height
        assert 0 <= view.box.left < view.box.right <= view.width
        shown_top, shown_left, shown_bottom, shown_right = view.shares
        assert shown_top * height <= box.top + 1e-6
        assert shown_left * width <= box.left + 1e-6
        assert shown_bottom * height >= box.bottom - 1e-6
        assert shown_right * width >= box.right - 1e-6


def test_at_full_scale_the_view_is_the_rectangle() -> None:
    box = Box(100, 200, 300, 500)
    view = views(4000, 6000, box, 6000)[0]
    assert (view.size, view.box) == (6000, box)


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(0, 0, 11, 5), Box(0, -1, 5, 5), Box(0, 9, 5, 5)])
def test_a_rectangle_that_is_no_part_of_the_photo_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="image of 20x10"):
        views(10, 20, box, 640)
