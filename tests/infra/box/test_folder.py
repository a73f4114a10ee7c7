from __future__ import annotations

import os
from pathlib import Path

from infra.box.folder import Folder, write_private


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "box")
    folder.make()
    first = folder.secret("mlflow")
    assert len(first) == 64
    assert folder.secret("mlflow") == first != folder.secret("ray")
    assert (folder.secrets / "mlflow").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in (folder.secrets, folder.logs)} == {0o700}


def test_others_may_pass_through_but_not_look(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "box")
    folder.make()
    folder.path.chmod(0o755)
    folder.secrets.chmod(0o755)
    folder.make()
    assert folder.path.stat().st_mode & 0o777 == 0o711
    assert folder.secrets.stat().st_mode & 0o777 == 0o700


def test_a_private_file_is_private_from_its_first_byte_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_private(path, "new")
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]
