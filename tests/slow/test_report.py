"""The report in a browser: on paper nothing is cut, on a phone nothing is too wide, and trials can be pointed at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import write_report
from tests.pipeline.report.factory import metrics, pictures
from tests.slow.browsers import chromium

pytestmark = [pytest.mark.slow, pytest.mark.browser]

CUT = """() => [...document.querySelectorAll('.scroll, .card, figure, td, th')]
    .filter(element => element.clientWidth && element.scrollWidth > element.clientWidth + 1)
    .map(element => element.outerHTML)"""
A4_AT_96_DPI = {"width": 733, "height": 1060}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("report")
    write_report(metrics(), pictures(), folder)
    with chromium() as browser:
        page = browser.new_page(viewport=A4_AT_96_DPI)
        page.goto((folder / "index.html").as_uri())
        yield page


def test_on_paper_nothing_is_cut_and_six_pages_are_enough(page: Any) -> None:
    page.emulate_media(media="print")
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_AT_96_DPI["width"]
    assert 1 <= page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") <= 6


def test_on_a_phone_the_page_does_not_scroll_sideways(page: Any) -> None:
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_pointing_at_a_trial_tells_its_figures_and_following_it_shows_its_effects(page: Any) -> None:
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1200, "height": 900})
    knee = page.locator(".spot", has_text="Trial 0, knee")
    assert not knee.locator(".tip").is_visible()
    knee.locator("i").hover()
    assert knee.locator(".tip").is_visible()
    assert "26.31 dB at 6.3 % of the FLOPs" in " ".join(knee.locator(".tip").inner_text().split())
    assert not page.locator("#trial-0").is_visible()
    knee.locator("i").click()
    assert page.locator("#trial-0 img").is_visible()
    assert not page.locator("#trial-4").is_visible()
