from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.errors import UserError
from pipeline.common.layout import PHOTOS_FILE
from pipeline.config import load
from pipeline.stages.photos import work
from tests.profiles.tiny import tiny_photos, tiny_profile


def look(root: Path, changes: dict[str, Any] | None = None) -> bytes:
    work(root, load(tiny_profile(root / "params.yaml", changes)))
    return (root / PHOTOS_FILE).read_bytes()


FOLDER = {"data.source": "folder", "data.folder": "photos"}


def test_a_source_that_never_changes_says_the_same_each_time(tmp_path: Path) -> None:
    assert look(tmp_path) == look(tmp_path)
    assert b"sample" in look(tmp_path)


def test_a_new_photo_changes_what_download_depends_on_and_nothing_else_does(tmp_path: Path) -> None:
    photos = tiny_photos(tmp_path / "photos")
    before = look(tmp_path, FOLDER)
    assert look(tmp_path, FOLDER) == before
    shutil.copy(photos / "train" / "train0.png", photos / "train" / "more.png")
    assert look(tmp_path, FOLDER) != before


def test_photos_that_are_away_are_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_photos(tmp_path / "photos")
    before = look(tmp_path, FOLDER)
    (tmp_path / "photos").rename(tmp_path / "unplugged")
    assert look(tmp_path, FOLDER) == before
    assert "is not there. They are taken as unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("known", [False, True])
def test_photos_that_were_never_seen_are_asked_for(tmp_path: Path, known: bool) -> None:
    if known:
        tiny_photos(tmp_path / "others")
        look(tmp_path, FOLDER | {"data.folder": "others"})
    with pytest.raises(UserError, match="is not there"):
        look(tmp_path, FOLDER)


def test_a_server_that_does_not_answer_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    s3 = {"data.source": "s3", "data.uri": "s3://bucket/photos"}
    with pytest.raises(UserError, match="s3://bucket/photos"):
        look(tmp_path, s3)
    kept = b'{"source": "s3", "place": "s3://bucket/photos", "photos": 3, "sha256": "abc"}'
    (tmp_path / PHOTOS_FILE).parent.mkdir(exist_ok=True)
    (tmp_path / PHOTOS_FILE).write_bytes(kept)
    assert look(tmp_path, s3) == kept


def test_a_temporary_copy_looks_at_the_project_s_photos(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    tiny_photos(tmp_path / "photos")
    assert look(copy, FOLDER) == look(tmp_path, FOLDER)
