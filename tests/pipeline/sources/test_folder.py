"""A user's own photos: what is usable is taken as it is, what is not is named."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.sources.folder import FolderSource
from tests.pipeline.sources.disk import everything, largest_file
from tests.pipeline.sources.packing import photo

Change = Callable[[Path], object]


def quiet(_: str) -> None:
    pass


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Three photos in train/, one in valid/, one in test/."""
    root = tmp_path / "mine"
    for number, name in enumerate(("train/a.png", "train/b.jpg", "train/c.png", "valid/d.png", "test/e.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(photo(number, "JPEG" if name.endswith("jpg") else "PNG"))
    return root


def put(name: str, data: bytes) -> Change:
    return lambda root: (root / name).write_bytes(data)


def gigantic_png() -> bytes:
    """A PNG of a few bytes that claims 65535x65535 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">LLBBBBB", 65535, 65535, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("count", [2, 3, 9, 10, 19, 20, 35])
def test_every_tenth_validates_without_valid(tmp_path: Path, count: int) -> None:
    names = [f"{number:02}.png" for number in range(count)]
    for number, name in enumerate(names):
        (tmp_path / "mine/train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine/train" / name).write_bytes(photo(number))
    (tmp_path / "mine/test").mkdir()
    (tmp_path / "mine/test/t.png").write_bytes(photo(1000))
    FolderSource(root=tmp_path / "mine").fetch(tmp_path / "out", quiet)
    valid = sorted(os.listdir(tmp_path / "out/valid"))
    assert valid == ([name for number, name in enumerate(names, 1) if number % 10 == 0] or [names[-1]])
    assert sorted(os.listdir(tmp_path / "out/train")) == sorted(set(names) - set(valid))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("train/grey.png", photo(1, mode="L")),
        ("train/rgba.png", photo(2, mode="RGBA")),
        ("train/deep.png", photo(3, mode="I;16")),
        ("train/palette.png", photo(4, mode="P")),
        ("train/least.png", photo(5, size=(32, 32))),
        ("train/UPPER.JPG", photo(6, "JPEG")),
        ("train/grüne Wiese (2).jpeg", photo(7, "JPEG")),
        ("test/long.png", photo(8, size=(600, 32))),
    ],
)
def test_photos_of_every_kind_arrive_byte_for_byte(mine: Path, tmp_path: Path, name: str, data: bytes) -> None:
    (mine / name).write_bytes(data)
    FolderSource(root=mine).fetch(tmp_path / "out", quiet)
    assert (tmp_path / "out" / name).read_bytes() == data
    assert everything(tmp_path / "out") == everything(mine)


@pytest.mark.parametrize("name", ["train/.DS_Store", "train/._a.png", "train/Thumbs.db", "test/.hidden.png"])
def test_hidden_files_are_left_out(mine: Path, tmp_path: Path, name: str) -> None:
    expected = everything(mine)
    (mine / name).write_bytes(b"junk")
    (mine / "train/.folder").mkdir()
    (mine / "notes.txt").write_bytes(b"beside the three folders")
    FolderSource(root=mine).fetch(tmp_path / "out", quiet)
    assert everything(tmp_path / "out") == expected


def test_links_to_photos_become_photos(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").write_bytes(photo(50))
    (mine / "train/link.png").symlink_to(tmp_path / "elsewhere.png")
    FolderSource(root=mine).fetch(tmp_path / "out", quiet)
    assert not (tmp_path / "out/train/link.png").is_symlink()
    assert (tmp_path / "out/train/link.png").read_bytes() == photo(50)


def empty_folder(name: str) -> Change:
    def change(root: Path) -> None:
        for path in (root / name).iterdir():
            path.unlink()

    return change


def remove_folder(name: str) -> Change:
    def change(root: Path) -> None:
        empty_folder(name)(root)
        (root / name).rmdir()

    return change


def single_photo_without_valid(root: Path) -> None:
    remove_folder("valid")(root)
    (root / "train/a.png").unlink()
    (root / "train/b.jpg").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("train/x.png", photo(9)[:-200]), r"train/x\.png .*(damaged|cut)"),
        (put("train/x.jpg", photo(9, "JPEG")[:-200]), r"train/x\.jpg .*(damaged|cut)"),
        (put(os.fsdecode(b"test/gr\xfcn.png"), photo(9)), r"its name is not valid UTF-8: rename it"),
        (put("test/x.png", b""), r"test/x\.png .*empty"),
        (put("valid/x.jpg", b"<html>not found</html>"), r"valid/x\.jpg .*not a JPEG"),
        (put("train/x.png", b"\x89PNG\r\n\x1a\n"), r"train/x\.png .*(damaged|cut)"),
        (put("train/x.png", gigantic_png()), r"train/x\.png .*pixels"),
        (put("train/x.png", photo(9, size=(31, 400))), r"train/x\.png \(31x400 pixels, the least is 32x32\)"),
        (put("train/x.png", photo(9, size=(400, 31))), r"train/x\.png \(400x31 pixels, the least is 32x32\)"),
        (put("train/notes.txt", b"hello"), r"train/notes\.txt \(not a \.png, \.jpg or \.jpeg file: convert it"),
        (put("train/x.webp", b"x"), r"train/x\.webp \(not a \.png"),
        (lambda root: (root / "train/sub.png").mkdir(), r"train/sub\.png \(a folder: photos lie directly in"),
        (lambda root: os.mkfifo(root / "train/x.png"), r"train/x\.png \(not a regular file"),
        (lambda root: (root / "train/x.png").symlink_to("nowhere"), r"train/x\.png \(not a regular file, or a link"),
        (put("train/a.jpg", photo(9, "JPEG")), r"train/a\.png and a\.jpg differ only in their ending: rename one"),
        (put("train/A.JPG", photo(9, "JPEG")), r"differ only in their ending"),
        (put("test/x.png", photo(0)), r"test/x\.png is the same photo as train/a\.png of train: keep one"),
        (
            remove_folder("train"),
            r"mine/train cannot be listed \(No such file or directory\): it needs train/ and test/",
        ),
        (remove_folder("test"), r"mine/test cannot be listed"),
        (empty_folder("train"), r"mine/train holds no photos: put photos in it"),
        (empty_folder("test"), r"mine/test holds no photos"),
        (empty_folder("valid"), r"mine/valid holds no photos: put photos in it, or take the folder away"),
        (single_photo_without_valid, r"mine/train holds a single photo and valid/ is missing"),
    ],
)
def test_unusable_folders_are_told_before_anything_is_taken(
    mine: Path, tmp_path: Path, change: Change, message: str
) -> None:
    change(mine)
    with pytest.raises(UserError, match=message) as caught:
        FolderSource(root=mine).fetch(tmp_path / "out", quiet)
    assert str(mine) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the folder .*nowhere of data\.folder is not there: it needs train/"):
        FolderSource(root=tmp_path / "nowhere").fetch(tmp_path / "out", quiet)


def test_all_bad_files_are_counted_and_some_named(mine: Path, tmp_path: Path) -> None:
    for number in range(20):
        (mine / f"train/x{number:02}.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds 20 files that cannot be used: train/x00\.png .*; and 12 more"):
        FolderSource(root=mine).fetch(tmp_path / "out", quiet)


def test_unreadable_file_is_told(mine: Path, tmp_path: Path) -> None:
    unreadable = Path("/proc/self/mem")  # for root too
    if not unreadable.exists():
        pytest.skip("needs /proc")
    (mine / "train/x.png").symlink_to(unreadable)
    with pytest.raises(UserError, match=r"train/x\.png \(cannot be read \(.*error\)"):
        FolderSource(root=mine).fetch(tmp_path / "out", quiet)


def test_full_disk_is_told(mine: Path, tmp_path: Path) -> None:
    with largest_file(1000), pytest.raises(UserError, match=r"cannot write .*out/train/a\.png"):
        FolderSource(root=mine).fetch(tmp_path / "out", quiet)
