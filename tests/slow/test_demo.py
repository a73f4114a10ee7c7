"""The demo's page in a real browser, served by the real command with the shipped network."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tatsnet.cli import main
from tatsnet.demo.app import SAMPLE
from tests.slow.browsers import REPOSITORY, chromium

FULL = "() => document.getElementById('after').dataset.kind === 'full'"
PIXELS = """id => {
  const image = document.getElementById(id), canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const drawing = canvas.getContext('2d');
  drawing.drawImage(image, 0, 0);
  return [canvas.height, canvas.width, ...drawing.getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(scope="module")
def link() -> Iterator[str]:
    command = [sys.executable, "-m", "tatsnet.cli", "demo", "--no-browser"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=REPOSITORY / "tests") as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130, -signal.SIGINT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, link: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "violates" in message.text else None)
    page.goto(link)
    page.wait_for_function(FULL, timeout=60_000)
    yield page
    page.close()
    assert not problems


def seen(page: Any, image: str) -> Any:
    height, width, *values = page.evaluate(PIXELS, image)
    return np.array(values, np.int16).reshape(height, width, 4)[..., :3]


def large_photo() -> dict[str, Any]:
    """A photo that has more pixels than the screen, as a file for the page."""
    buffer = io.BytesIO()
    with Image.open(SAMPLE) as image:
        image.resize((2400, 1596)).save(buffer, "JPEG", quality=90)
    return {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()}


def put(page: Any, axis: str, keys: int) -> None:
    """Move a slider with the keyboard alone, a tenth at a time."""
    page.focus(f"#{axis}")
    for _ in range(keys):
        page.keyboard.press("PageUp")


@pytest.mark.browser
@pytest.mark.slow
class TestPage:
    def test_the_picture_follows_the_slider_and_is_what_restore_gives(self, page: Any, tmp_path: Path) -> None:
        at_rest = seen(page, "after")
        put(page, "denoise", 4)
        page.wait_for_function("() => document.getElementById('after').dataset.kind === 'preview'")
        page.wait_for_function(FULL, timeout=60_000)
        assert page.input_value("#denoise") == "0.4"
        out = tmp_path / "out.png"
        assert main(["restore", "--model", "standard", str(SAMPLE), "--denoise", "0.4", "--even", "-o", str(out)]) == 0
        shown, expected = seen(page, "after"), np.asarray(Image.open(out), np.int16)
        assert np.array_equal(shown, expected)
        assert np.abs(shown - at_rest).mean() > 1
        assert np.array_equal(seen(page, "before"), np.asarray(Image.open(SAMPLE), np.int16))

    def test_the_download_is_the_same_file(self, page: Any, tmp_path: Path) -> None:
        put(page, "dejpeg", 3)
        with page.expect_download() as waiting:
            page.click("#download")
        waiting.value.save_as(tmp_path / "got.png")
        assert waiting.value.suggested_filename == "sample-restored.png"
        out = tmp_path / "out.png"
        assert main(["restore", "--model", "standard", str(SAMPLE), "--dejpeg", "0.3", "--even", "-o", str(out)]) == 0
        assert (tmp_path / "got.png").read_bytes() == out.read_bytes()

    def test_a_photo_that_is_none_gets_a_message_and_the_next_one_is_shown(self, page: Any) -> None:
        page.set_input_files("#file", {"name": "p.png", "mimeType": "image/png", "buffer": b"nothing"})
        page.wait_for_selector("#error:not([hidden])")
        assert "not a JPEG" in page.inner_text("#error")
        buffer = io.BytesIO()
        Image.new("RGB", (40, 30), (200, 10, 10)).save(buffer, "PNG")
        page.set_input_files("#file", {"name": "q.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
        page.wait_for_function("() => document.getElementById('after').naturalWidth === 40")
        assert not page.is_visible("#error")
        assert page.title().startswith("q.png")

    def test_auto_moves_the_sliders_and_says_why(self, page: Any) -> None:
        page.click("#auto")
        page.wait_for_function("() => document.getElementById('found').textContent.startsWith('Estimated')")
        assert float(page.input_value("#denoise")) > 0.1

    def test_the_sheet_has_27_effects_that_can_be_taken(self, page: Any) -> None:
        page.click("#draw-sheet")
        ready = "() => [...document.querySelectorAll('#effects img')].filter(image => image.naturalWidth).length === 27"
        page.wait_for_function(ready, timeout=100_000)
        page.locator("#effects button").nth(26).click()
        assert [page.input_value(f"#{axis}") for axis in ("deblur", "denoise", "dejpeg")] == ["1", "1", "1"]

    def test_the_divider_and_the_zoom(self, page: Any) -> None:
        cut = "() => document.getElementById('cut').style.clipPath"
        middle = page.evaluate(cut)
        page.focus("#divider")
        page.keyboard.press("Home")
        assert page.evaluate(cut) == "inset(0px 0px 0px 0%)" != middle
        width = page.locator("#after").bounding_box()["width"]
        page.focus("#view")
        page.keyboard.press("+")
        assert page.locator("#after").bounding_box()["width"] == pytest.approx(1.25 * width, rel=0.01)

    def test_the_divider_is_drawn_and_can_be_dragged(self, page: Any) -> None:
        view, place = page.locator("#view").bounding_box(), page.locator("#pictures").bounding_box()
        line = page.locator("#handle").bounding_box()
        middle = line["x"] + line["width"] / 2
        assert middle == pytest.approx(view["x"] + view["width"] / 2, abs=1)
        page.mouse.move(middle, view["y"] + 60)
        page.mouse.down()
        page.mouse.move(view["x"] + view["width"] / 4, view["y"] + 90, steps=3)
        page.mouse.up()
        assert page.input_value("#divider") == "25"
        assert page.locator("#pictures").bounding_box() == place
        page.mouse.move(view["x"] + view["width"] * 0.8, view["y"] + 60)
        page.mouse.down()
        page.mouse.move(view["x"] + view["width"] * 0.8 + 30, view["y"] + 60)
        page.mouse.up()
        assert page.locator("#pictures").bounding_box()["x"] == pytest.approx(place["x"] + 30, abs=1)
        assert page.input_value("#divider") == "25"

    def test_a_fast_hand_ends_where_it_stops(self, page: Any, tmp_path: Path) -> None:
        """However many positions it passes, the full size is asked for once, and nothing is asked of elsewhere."""
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("""() => {
            const slider = document.getElementById('denoise');
            for (let step = 1; step <= 60; step++) {
                slider.value = step / 100;
                slider.dispatchEvent(new Event('input', { bubbles: true }));
            }
        }""")
        page.wait_for_function("() => document.getElementById('after').dataset.kind === 'preview'")
        page.wait_for_function(FULL, timeout=60_000)
        out = tmp_path / "out.png"
        assert main(["restore", "--model", "standard", str(SAMPLE), "--denoise", "0.6", "--even", "-o", str(out)]) == 0
        assert np.array_equal(seen(page, "after"), np.asarray(Image.open(out), np.int16))
        assert sum("/full?" in url for url in asked) == 1
        assert sum("/preview?" in url for url in asked) <= 4
        assert all(url.startswith((page.url, f"blob:{page.url}")) for url in asked)

    def test_what_the_picture_is_called_is_what_it_is(self, page: Any) -> None:
        """Dragged by the mouse over a photo larger than the screen, with the full size held back."""
        page.route("**/full?*", lambda route: route.abort())
        page.set_input_files("#file", large_photo())
        page.wait_for_function("() => document.title.startsWith('large') && after.dataset.kind === 'preview'")
        page.evaluate("""() => {
            const after = document.getElementById('after'), badge = document.getElementById('badge');
            const share = (side) => parseFloat(after.style[side]) / 100;
            window.seen = [];
            new MutationObserver(() => seen.push([
                after.naturalWidth, share('width'), share('left'), badge.textContent, badge.classList.contains('rough'),
            ])).observe(badge, { childList: true });
        }""")
        slider = page.locator("#denoise").bounding_box()
        page.mouse.move(slider["x"] + 10, slider["y"] + slider["height"] / 2)
        page.mouse.down()
        for step in range(40):
            page.mouse.move(slider["x"] + 10 + 5 * step, slider["y"] + slider["height"] / 2)
            page.wait_for_timeout(20)
        page.mouse.up()
        page.wait_for_function("() => document.getElementById('badge').textContent.startsWith('Preview, ')")
        seen_while_moving = page.evaluate("seen")
        on_screen = page.locator("#pictures").bounding_box()["width"]
        assert any(rough for *_, rough in seen_while_moving)
        for width, share, left, label, rough in seen_while_moving:
            number = int("".join(filter(str.isdigit, label)))
            size = number if rough else 2400 * number / 100
            assert label.startswith("Quick preview, " if rough else "Preview, ")
            assert width == pytest.approx(size * share, abs=14)
            assert rough is (width / share < 0.8 * on_screen)
            assert left > 0.3  # what the divider hides is not restored

    def test_what_comes_into_view_is_restored(self, page: Any) -> None:
        page.route("**/full?*", lambda route: route.abort())
        page.set_input_files("#file", large_photo())
        page.wait_for_function("() => document.title.startsWith('large')")
        put(page, "denoise", 5)
        page.wait_for_function("() => parseFloat(document.getElementById('after').style.left) > 40")
        page.focus("#divider")
        page.keyboard.press("Home")
        page.wait_for_function("() => parseFloat(document.getElementById('after').style.left) === 0")
        page.focus("#view")
        page.keyboard.press("1")
        pixel_by_pixel = "() => document.getElementById('badge').textContent === 'Preview, 100 % of full size'"
        page.wait_for_function(pixel_by_pixel)
        left, width = page.evaluate("() => [after.style.left, after.style.width].map(parseFloat)")
        assert page.evaluate("() => after.naturalWidth") == pytest.approx(width * 24, abs=2)
        view, after = page.locator("#view").bounding_box(), page.locator("#after").bounding_box()
        assert after["x"] <= view["x"] + 1
        assert after["x"] + after["width"] >= view["x"] + view["width"] - 1
        assert left > 0

    def test_a_download_holds_the_photos_metadata(self, page: Any, tmp_path: Path) -> None:
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[271] = "a camera"
        Image.new("RGB", (64, 48), (200, 120, 90)).save(buffer, "JPEG", exif=exif)
        page.set_input_files("#file", {"name": "c.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()})
        page.wait_for_function("() => document.title.startsWith('c.jpg')")
        put(page, "denoise", 3)
        for suffix, kind in (("jpg", "JPEG"), ("tif", "TIFF"), ("webp", "WEBP")):
            page.select_option("#format", suffix)
            with page.expect_download() as waiting:
                page.click("#download")
            waiting.value.save_as(tmp_path / f"got.{suffix}")
            with Image.open(tmp_path / f"got.{suffix}") as image:
                assert (image.format, image.size, image.getexif()[271]) == (kind, (64, 48), "a camera")

    def test_presets_set_the_sliders_and_say_so(self, page: Any) -> None:
        for preset in page.locator("#presets button").all():
            preset.click()
            levels = [float(level) for level in preset.get_attribute("data-levels").split(",")]
            assert [float(page.input_value(f"#{axis}")) for axis in ("deblur", "denoise", "dejpeg")] == levels
            assert page.locator("#presets [aria-pressed=true]").all_text_contents() == [preset.text_content()]
        page.click("text=Reset")
        assert page.locator("#presets [aria-pressed=true]").count() == 0
        assert page.input_value("#denoise") == "0"

    def test_a_screen_reader_is_told_what_matters_and_not_every_preview(self, page: Any) -> None:
        tree = page.locator("body").aria_snapshot()
        for name in (
            'slider "Denoise"',
            'slider "Divider',
            'button "Download"',
            'group "Presets"',
            'combobox "Format"',
        ):
            assert name in tree
        page.evaluate("""() => {
            window.told = [];
            const live = document.querySelector('[role=status][aria-live]');
            new MutationObserver(() => told.push(live.textContent)).observe(live, { childList: true });
        }""")
        put(page, "denoise", 6)
        page.wait_for_function("() => told.at(-1) === 'Full size is shown'", timeout=60_000)
        assert set(page.evaluate("told")) <= {"", "Full size is being restored", "Full size is shown"}

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_on_a_phone_nothing_is_wider_than_the_screen(self, browser: Any, link: str, scheme: str) -> None:
        page = browser.new_page(viewport={"width": 375, "height": 740}, color_scheme=scheme)
        page.goto(link)
        page.wait_for_function(FULL, timeout=60_000)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
        paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(27, 27, 29)") is (scheme == "dark")
        names = page.evaluate(
            "() => [...document.querySelectorAll('button, input, select')]"
            ".filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length"
        )
        assert names == 0
        page.close()
