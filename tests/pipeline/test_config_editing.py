from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.config import Suggestion, load
from pipeline.config.editing import put_suggestions

PROFILES = sorted((Path(__file__).resolve().parents[2] / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("source", PROFILES, ids=lambda path: path.stem)
def test_the_same_suggestions_change_no_other_line(source: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(source, tmp_path))
    suggestions = load(path).search.suggestions
    put_suggestions(path, suggestions)
    assert load(path).search.suggestions == suggestions
    before, after = (p.read_text(encoding="utf-8").splitlines() for p in (source, path))
    assert len(before) == len(after)
    assert all(old == new for old, new in zip(before, after, strict=True) if not old.startswith("    - {variant"))


def test_small_numbers_stay_numbers(tmp_path: Path) -> None:
    path = Path(shutil.copy(PROFILES[0].with_name("paper.yaml"), tmp_path))
    point = Suggestion(variant="TSNet", lambda1=5e-5, lambda2=0.0123456789012345, gamma=0.9)
    put_suggestions(path, [point])
    assert load(path).search.suggestions == (point,)
    put_suggestions(path, [])
    assert load(path).search.suggestions == ()


def test_a_broken_profile_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("search: {}\n", encoding="utf-8")
    with pytest.raises(UserError, match="search"):
        put_suggestions(path, [])
    assert path.read_text(encoding="utf-8") == "search: {}\n"
