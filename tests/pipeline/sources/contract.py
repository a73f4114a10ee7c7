"""What every source of photos keeps to."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pipeline.common.files import fresh_folder, sha256_file, write_manifest
from pipeline.sources import SPLITS, Source
from tatsnet.photos.files import read_photo
from tests.pipeline.sources.disk import everything


def hold_to_contract(source: Source, place: Path) -> dict[str, list[str]]:
    """Check a source that should succeed; returns the names that it gave, by split."""
    lines: list[str] = []
    source.fetch(place / "first", lines.append)
    assert lines
    assert all(line.strip() and "\n" not in line for line in lines)
    names = _hold_photos_to_contract(place / "first")
    _again_is_the_same(source, place)
    _interrupt_leaves_nothing(source, place)
    return names


def _hold_photos_to_contract(into: Path) -> dict[str, list[str]]:
    assert sorted(path.name for path in into.iterdir()) == sorted(SPLITS)
    splits_of: dict[str, set[str]] = defaultdict(set)
    for path in into.rglob("*"):
        if path.parent == into:
            continue
        assert path.is_file()
        assert not path.is_symlink()
        assert path.suffix.lower() in (".png", ".jpg", ".jpeg")
        assert min(read_photo(path).rgb_HWC.shape[:2]) >= 32
        splits_of[sha256_file(path)].add(path.parent.name)
    assert all(len(splits) == 1 for splits in splits_of.values())
    names = {split: sorted(path.name for path in (into / split).iterdir()) for split in SPLITS}
    assert all(names.values())
    return names


def _again_is_the_same(source: Source, place: Path) -> None:
    source.fetch(place / "second", lambda line: None)
    assert write_manifest(place / "second") == write_manifest(place / "first")


def _interrupt_leaves_nothing(source: Source, place: Path) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    out = place / "clean" / "out"
    with pytest.raises(KeyboardInterrupt), fresh_folder(out) as into:
        source.fetch(into, interrupt)
    assert everything(place / "clean") == {}
    with fresh_folder(out) as into:
        source.fetch(into, lambda line: None)
    assert write_manifest(out).dataset_sha256 == write_manifest(place / "first").dataset_sha256
