"""Known before the work is told before the work: what a target could not hold, and where it could not be."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest

from tatsnet.photos.files import Photo, PhotoError, check_output, check_space, read_photo, write_photo

SMALL = Photo(rgb_HWC=np.full((3, 4, 3), 0.5, np.float32))


def wide(width: int, height: int = 1) -> Photo:
    return Photo(rgb_HWC=np.broadcast_to(np.float32(0.5), (height, width, 3)))


@pytest.mark.parametrize(
    ("name", "photo", "message"),
    [
        ("a.webp", wide(16_384), r"16384x1 pixels cannot be stored as WEBP \(at most 16383 a side\).*\.tif or \.png"),
        ("a.webp", wide(1, 16_384), "1x16384 pixels cannot be stored"),
        ("a.jpg", wide(65_501), r"65501x1 pixels cannot be stored as JPEG .*\.tif or \.png"),
        ("a.png", wide(1_000_001), r"cannot be stored as PNG .*\.tif$"),
        ("a" * 252 + ".png", SMALL, "name has more than 255 bytes"),
        ("ä" * 126 + ".png", SMALL, "name has more than 255 bytes"),
        ("a\0b.png", SMALL, "cannot be written"),
        ("x/" * 2500 + "a.png", SMALL, "cannot be written|no folder"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_work(
    name: str, photo: Photo, message: str, tmp_path: Path
) -> None:
    with pytest.raises(PhotoError, match=message) as caught:
        check_output(tmp_path / name, photo)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "photo"),
    [
        ("a.webp", wide(16_383)),
        ("a.jpg", wide(65_500)),
        ("a.png", wide(1_000_000)),
        ("a.tif", wide(1_000_001)),
        ("a" * 251 + ".png", SMALL),
        ("ä" * 125 + ".tif", SMALL),
        ("ünïcode ⌘ \n name.png", SMALL),
        (os.fsdecode(b"not text \xff\xfe.png"), SMALL),
        ("-rf.png", SMALL),
    ],
)
def test_what_is_allowed_can_be_written(name: str, photo: Photo, tmp_path: Path) -> None:
    check_output(tmp_path / name, photo)
    write_photo(tmp_path / name, photo, photo.rgb_HWC)
    assert read_photo(tmp_path / name).rgb_HWC.shape == photo.rgb_HWC.shape
    assert len(list(tmp_path.iterdir())) == 1


def to_a_device(folder: Path) -> None:
    (folder / "a.png").symlink_to(os.devnull)


def to_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "a.png")


def to_a_read_only_file(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"mine")
    (folder / "a.png").chmod(0o444)


def to_a_read_only_folder(folder: Path) -> None:
    folder.chmod(0o555)


def to_itself(folder: Path) -> None:
    (folder / "a.png").symlink_to(folder / "a.png")


def to_nowhere(folder: Path) -> None:
    (folder / "a.png").symlink_to(folder / "missing" / "b.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (to_a_device, "a device or a pipe"),
        (to_a_pipe, "a device or a pipe"),
        (to_a_read_only_file, "there and read-only"),
        (to_a_read_only_folder, "folder .* is read-only"),
        (to_itself, "cannot be written"),
        (to_nowhere, "there is no folder"),
    ],
)
def test_what_is_in_the_targets_place_stays(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder)
    before = [(path.name, path.lstat().st_mode) for path in folder.iterdir()]
    for check in (check_output, lambda path, photo: write_photo(path, photo, photo.rgb_HWC)):
        with pytest.raises(PhotoError, match=message):
            check(folder / "a.png", SMALL)
    assert before == [(path.name, path.lstat().st_mode) for path in folder.iterdir()]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    path.chmod(mode)
    write_photo(path, SMALL, SMALL.rgb_HWC)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only an administrator gives files away")
def test_a_file_that_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    os.chown(path, 12345, 23456)
    write_photo(path, SMALL, SMALL.rgb_HWC)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@pytest.mark.parametrize(("free", "fits"), [(10**6, False), (10**9, True)])
def test_too_little_space_is_told_before_the_work(
    free: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)  # a full disk cannot be had for the asking
    large = wide(3000, 2000)
    targets_ = [tmp_path / f"{number}.tif" for number in range(3)]
    if fits:
        check_space(targets_, large)
    else:
        with pytest.raises(PhotoError, match=r"1\.0 MB free, at least 13\.5 MB will be written; free some space"):
            check_space(targets_, large)


def test_a_file_system_that_does_not_say_how_much_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> NoReturn:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("shutil.disk_usage", fail)
    check_space([tmp_path / "a.tif"], wide(3000, 2000))
