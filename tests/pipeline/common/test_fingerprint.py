from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.fingerprint import fingerprint

OUTPUTS = (Path("folder"), Path("file.json"), Path("absent"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "folder" / "inner").mkdir(parents=True)
    (root / "folder" / "inner" / "large").write_bytes(bytes(range(256)) * 2000)
    (root / "folder" / "small").write_text("small")
    (root / "file.json").write_text("{}")
    return root


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        put("folder/small", b"smalL"),
        put("folder/more", b""),
        put("file.json", b"[]"),
        put("absent", b""),
        put("folder/inner/large", bytes(range(256)) * 1999 + bytes(256)),
        put("folder/inner/large", bytes(256) + bytes(range(256)) * 1999),
        put("folder/inner/large", bytes(range(256)) * 2001),
        lambda root: (root / "folder" / "small").unlink(),
        lambda root: (root / "folder" / "small").rename(root / "folder" / "inner" / "small"),
    ],
)
def test_another_content_has_another_name(project: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(project, OUTPUTS)
    change(project)
    assert fingerprint(project, OUTPUTS) != before


def test_the_same_content_has_the_same_name_elsewhere_and_later(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    os.utime(copy / "file.json", (1, 1))
    (copy / "file.json").chmod(0o444)
    (copy / "beside").touch()
    assert fingerprint(copy, OUTPUTS) == fingerprint(project, OUTPUTS)
