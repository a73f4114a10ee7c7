from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.stages import degrade, download, pretrain
from tests.pipeline.stages.project import context
from tests.profiles.tiny import tiny_photos
from tests.slow.searches import FOLDER


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder as the stages before the search leave it."""
    root = tmp_path_factory.mktemp("prepared")
    tiny_photos(root / "photos")
    made = context(root, FOLDER | {"data.folder": str(root / "photos")})
    for stage in (download, degrade, pretrain):
        stage.work(made)
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "project"))
