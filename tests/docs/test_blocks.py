"""Python and YAML of README and docs: the code runs, the settings are valid."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml

from pipeline.config import load
from pipeline.sources.source import SPLITS
from tatsnet.data.degradation import BLUR_RADIUS
from tests.docs.markdown import COMMANDS_IN, ROOT, blocks, languages
from tests.pipeline.sources.contract import hold_to_contract
from tests.pipeline.sources.packing import photo, zipped
from tests.pipeline.sources.web import served

PYTHON = {"README.md", "docs/add-degradation.md", "docs/add-source.md", "docs/photos.md", "docs/picking.md"}
"""Pages with Python, each run below; that of docs/picking.md needs a registered model: tests/slow/test_registry.py."""

YAML = [(page, block) for page in COMMANDS_IN for block in blocks(page, "yaml")]


def run(code: str, **names: Any) -> dict[str, Any]:
    """The names that some code leaves."""
    exec(compile(code, "<docs>", "exec"), names)
    return names


def test_every_page_with_python_is_known() -> None:
    assert {page for page in COMMANDS_IN if "python" in languages(page)} == PYTHON


def test_every_language_is_known() -> None:
    assert set().union(*map(languages, COMMANDS_IN)) <= {"sh", "python", "yaml", "text"}


@pytest.mark.parametrize("page", ["README.md", "docs/photos.md"])
def test_the_restorer_is_used_as_shown(page: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    (code,) = blocks(page, "python")
    for name, value in run(code, photo=image).items():
        if name in ("out", "restored", "large"):
            assert value.shape == image.shape
            assert 0 <= value.min() < value.max() <= 1


def test_a_registered_model_is_used_as_python() -> None:
    for code in blocks("docs/picking.md", "python"):
        compile(code, "docs/picking.md", "exec")


def test_the_other_blur_is_a_disc() -> None:
    (code,) = blocks("docs/add-degradation.md", "python")
    names = run(f"from __future__ import annotations\n{code}", np=np, npt=npt, cv2=cv2, BLUR_RADIUS=BLUR_RADIUS)
    dot = np.zeros((41, 41, 3), np.float32)
    dot[20, 20] = 1
    spread = names["blur"](dot, 3.0)[..., 0]
    inside = np.hypot(*(np.indices((41, 41)) - 20)) <= 3
    assert np.allclose(spread[inside], 1 / inside.sum())
    assert np.allclose(spread[~inside], 0, atol=1e-7)


def test_the_added_source_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, case = blocks("docs/add-source.md", "python")
    assert case.startswith('case "meadow":')
    (tmp_path / "meadow.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    meadow = importlib.import_module("meadow")
    names = [f"{split}/{number}.png" for split in SPLITS for number in (1, 2)]
    archive = zipped({name: photo(seed) for seed, name in enumerate(names)} | {"readme.txt": b"x"})
    with served() as site:
        source = meadow.MeadowSource(cache=tmp_path / "cache", archive=site.remote("meadow.zip", archive))
        assert hold_to_contract(source, tmp_path / "place") == {split: ["1.png", "2.png"] for split in SPLITS}


@pytest.mark.parametrize(("page", "block"), YAML, ids=[f"{page}-{i}" for i, (page, _) in enumerate(YAML)])
def test_settings_are_valid_in_the_paper_s_profile(page: str, block: str, tmp_path: Path) -> None:
    profile = yaml.safe_load((ROOT / "profiles/paper.yaml").read_text())
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(_merged(profile, yaml.safe_load(block))))
    load(path)


def _merged(under: Any, over: Any) -> Any:
    """`over`, with what it does not name taken from `under`."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return under | {key: _merged(under.get(key), value) for key, value in over.items()}
