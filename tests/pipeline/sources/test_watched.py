"""A changed input is noticed: what a source says of its photos is another where any of them is, and only there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.sources.folder import FolderSource
from pipeline.sources.watched import Away, Seen, Watched
from tests.pipeline.sources.packing import photo

Change = Callable[[Path], object]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for number, name in enumerate(("train/a.png", "train/b.png", "train/d.png", "test/e.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(photo(number))
    return root


def content(root: Path) -> dict[str, str]:
    source, seen = FolderSource(root=root), Seen(root.parent / "seen.json")
    assert isinstance(source, Watched)
    found = source.content(seen)
    seen.keep()
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "train" / "c.png").write_bytes(photo(9)),
        lambda root: (root / "train" / "b.png").unlink(),
        lambda root: (root / "train" / "b.png").rename(root / "train" / "z.png"),
        lambda root: (root / "test" / "e.png").write_bytes(photo(8)),
        lambda root: shutil.copytree(root / "test", root / "valid"),
    ],
    ids=["added", "removed", "renamed", "changed", "a split more"],
)
def test_every_change_is_seen(mine: Path, change: Change) -> None:
    before = content(mine)
    change(mine)
    assert content(mine) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: os.utime(root / "train" / "a.png", (1, 1)),
        lambda root: (root / "train" / "a.png").chmod(0o600),
        lambda root: (root / "train" / ".hidden").write_bytes(b"x"),
        lambda root: (root / "readme.txt").write_bytes(b"x"),
        lambda root: (root / "train" / "a.png").write_bytes((root / "train" / "a.png").read_bytes()),
        lambda root: (root.parent / "seen.json").write_text("[]"),
        lambda root: (root.parent / "seen.json").write_text("{"),
        lambda root: (root.parent / "seen.json").write_text('{"train/a.png": 3}'),
    ],
)
def test_what_is_no_change_of_the_photos_is_none(mine: Path, change: Change) -> None:
    before = content(mine)
    change(mine)
    assert content(mine) == before


def test_a_change_that_keeps_size_and_time_is_seen(mine: Path) -> None:
    before = content(mine)
    path = mine / "train" / "a.png"
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert content(mine) != before


def test_a_folder_that_is_gone_is_away_and_an_empty_one_is_a_mistake(mine: Path) -> None:
    shutil.rmtree(mine / "test")
    with pytest.raises(UserError, match="test cannot be listed") as caught:
        content(mine)
    assert not isinstance(caught.value, Away)
    shutil.rmtree(mine)
    with pytest.raises(Away, match="is not there"):
        content(mine)
