"""`make docs`: the site is built without a broken link, has the public API, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("restorer", "tatsnet.restorer.Restorer.effect"),
        ("network", "tatsnet.network.flops.effect_cost"),
        ("method", "tatsnet.method.gates.Consensus"),
        ("quality", "tatsnet.quality.control.measure_control"),
        ("photos", "tatsnet.photos.files.read_photo"),
        ("pruned", "tatsnet.pruned.extraction.extract"),
        ("pipeline", "pipeline.config.sections.Params"),
    ],
)
def test_the_api_is_there(page: str, name: str, site: Path) -> None:
    assert f'id="{name}"' in (site / "api" / f"{page}.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loading = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if loading.search(page.read_text())] == []
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert not any(re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style) for style in styles)
