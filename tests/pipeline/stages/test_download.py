from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipeline.common.errors import UserError
from pipeline.common.files import verify_manifest
from pipeline.common.layout import CLEAN
from pipeline.sources import SPLITS
from pipeline.stages.download import work
from tests.pipeline.stages.project import content, context


def test_the_sample_photos_come_with_their_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work(context(tmp_path))
    manifest = verify_manifest(tmp_path / CLEAN)
    assert {entry.path.split("/")[0] for entry in manifest.files} == set(SPLITS)
    assert len(manifest.files) == 8
    assert "5 train, 1 valid, 2 test photos" in capsys.readouterr().out


def test_the_same_photos_have_the_same_name(tmp_path: Path) -> None:
    names = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        work(context(tmp_path / place))
        names.append(verify_manifest(tmp_path / place / CLEAN).dataset_sha256)
    assert names[0] == names[1]


def test_a_source_that_fails_leaves_the_former_photos_as_they_were(tmp_path: Path) -> None:
    work(context(tmp_path))
    before = content(tmp_path / "data")
    (tmp_path / "own" / "train").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(tmp_path / "own" / "train" / "a.png")
    changes = {"data.source": "folder", "data.folder": str(tmp_path / "own")}
    with pytest.raises(UserError, match="test"):
        work(context(tmp_path, changes))
    assert content(tmp_path / "data") == before
