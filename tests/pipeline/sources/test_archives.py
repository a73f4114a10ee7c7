"""What is wanted of an archive is written where the caller says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from pipeline.common.errors import UserError
from pipeline.sources.archives import extract
from tests.pipeline.sources.disk import everything, largest_file
from tests.pipeline.sources.packing import tar, zipped

GOOD = {"top/a.png": b"A" * 1000, "top/deep/b.png": b"B" * 70_000, "top/readme.txt": b"text"}
container = pytest.mark.parametrize(
    "pack", [tar, lambda files: tar(files, mode="w:xz"), zipped], ids=["tar.gz", "tar.xz", "zip"]
)


def photos(path: PurePosixPath) -> PurePosixPath | None:
    return PurePosixPath("train", path.name) if path.suffix == ".png" else None


@container
def test_wanted_files_are_written_and_no_others(tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    archive, into = tmp_path / "archive", tmp_path / "into"
    archive.write_bytes(pack(GOOD))
    assert extract(archive, into, photos) == [into / "train/a.png", into / "train/b.png"]
    assert everything(into) == {
        "train": None,
        "train/a.png": GOOD["top/a.png"],
        "train/b.png": GOOD["top/deep/b.png"],
    }


@container
def test_a_full_disk_is_told(tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(pack(GOOD))
    with largest_file(5000), pytest.raises(UserError, match=r"cannot write .*b\.png"):
        extract(archive, tmp_path / "into", photos)
