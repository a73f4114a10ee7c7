"""Artifacts that wait are copies, of a limited size."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.tracking.outbox.artifact_copies import drop_abandoned, drop_copy, keep_copy


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "inner").mkdir(parents=True)
    (tmp_path / "source" / "a.txt").write_text("a" * 100)
    (tmp_path / "source" / "inner" / "b.txt").write_text("b" * 100)
    return tmp_path / "source"


def test_the_copy_stays_when_the_source_changes(source: Path, tmp_path: Path) -> None:
    name = keep_copy(source / "a.txt", tmp_path / "kept")
    (source / "a.txt").write_text("changed")
    assert (tmp_path / "kept" / name / "a.txt").read_text() == "a" * 100
    drop_copy(tmp_path / "kept", name)
    drop_copy(tmp_path / "kept", name)
    assert not list((tmp_path / "kept").iterdir())


def test_a_folder_is_copied_with_what_is_in_it(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "kept" / keep_copy(source, tmp_path / "kept")
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*.txt")) == ["a.txt", "inner/b.txt"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"largest": 199}, "an artifact may have"), ({"most": 299}, "may wait at most"), ({}, None)],
    ids=["one", "all", "none"],
)
def test_what_is_too_large_is_told_and_leaves_nothing(
    source: Path, tmp_path: Path, limits: dict[str, int], said: str | None
) -> None:
    keep_copy(source / "a.txt", tmp_path / "kept")
    if said:
        with pytest.raises(ValueError, match=said):
            keep_copy(source, tmp_path / "kept", **limits)
    else:
        keep_copy(source, tmp_path / "kept", largest=200, most=300)
    assert len(list((tmp_path / "kept").iterdir())) == (1 if said else 2)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        keep_copy(tmp_path / "nowhere", tmp_path / "kept")


def test_what_a_kill_left_is_removed_and_nothing_else(source: Path, tmp_path: Path) -> None:
    wanted, left, fresh = (keep_copy(source, tmp_path / "kept") for _ in range(3))
    long_ago = time.time() - 2 * 3600
    for name in (wanted, left):
        os.utime(tmp_path / "kept" / name, (long_ago, long_ago))
    drop_abandoned(tmp_path / "kept", {wanted})
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {wanted, fresh}
    drop_abandoned(tmp_path / "nowhere", set())
