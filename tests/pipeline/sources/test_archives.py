"""An archive is unpacked as asked, or refused with a message and without a trace."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from pipeline.common.errors import UserError
from pipeline.sources.archives import Limits, extract
from tests.pipeline.sources.disk import everything, largest_file
from tests.pipeline.sources.packing import tar, tar_special, zipped

LIMITS = Limits(members=20, bytes=10_000_000)
GOOD = {"top/a.png": b"A" * 1000, "top/deep/b.png": b"B" * 70_000, "top/readme.txt": b"text"}
CONTAINERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "tar": lambda files: tar(files, mode="w"),
    "tar.gz": tar,
    "tar.xz": lambda files: tar(files, mode="w:xz"),
    "zip": zipped,
}
container = pytest.mark.parametrize("pack", CONTAINERS.values(), ids=CONTAINERS.keys())


def all_of(path: PurePosixPath) -> PurePosixPath | None:
    return path


def photos(path: PurePosixPath) -> PurePosixPath | None:
    return PurePosixPath("train", path.name) if path.suffix == ".png" else None


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """`place`/into is the target, and nothing beside it may change."""
    (tmp_path / "place" / "into").mkdir(parents=True)
    (tmp_path / "place" / "outside").write_bytes(b"precious")
    return tmp_path / "place"


def refused(place: Path, data: bytes, match: str, limits: Limits = LIMITS) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(data)
    before = everything(place)
    with pytest.raises(UserError, match=match) as caught:
        extract(archive, place / "into", all_of, limits)
    assert str(archive) in str(caught.value)
    assert everything(place) == before


@container
def test_wanted_members_are_written_and_no_others(place: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(pack(GOOD))
    assert extract(archive, place / "into", photos, LIMITS) == [
        place / "into/train/a.png",
        place / "into/train/b.png",
    ]
    assert everything(place / "into") == {
        "train": None,
        "train/a.png": GOOD["top/a.png"],
        "train/b.png": GOOD["top/deep/b.png"],
    }


@container
@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "top/../../evil",
        "top/deep/../../../evil",
        "..",
        "/evil",
        "/tmp/evil",
        "..\\evil",
        "C:\\evil",
        "a\\..\\b",
    ],
)
@pytest.mark.parametrize("wanted", [all_of, lambda path: None], ids=["wanted", "unwanted"])
def test_names_that_lead_outside_refuse_the_archive(
    place: Path,
    pack: Callable[[dict[str, bytes]], bytes],
    name: str,
    wanted: Callable[[PurePosixPath], PurePosixPath | None],
) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(pack(GOOD | {name: b"evil"}))
    before = everything(place.parent)
    with pytest.raises(UserError, match=r"refused, nothing was unpacked: .*outside of the target folder"):
        extract(archive, place / "into", wanted, LIMITS)
    assert everything(place.parent) == before
    assert not Path("/evil").exists()


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "../outside"),
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "a.png"),
        (tarfile.LNKTYPE, "../../outside"),
        (tarfile.LNKTYPE, "top/a.png"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_wanted_links_and_devices_refuse_the_archive(place: Path, kind: bytes, target: str) -> None:
    refused(
        place, tar(GOOD, extra=(tar_special("top/link.png", kind, target),)), r"'top/link.png' is a link or a device"
    )


def test_wanted_links_in_a_zip_refuse_the_archive(place: Path) -> None:
    refused(place, zipped(GOOD, symlinks={"top/link.png": "../outside"}), r"'top/link.png' is a link or a device")


@pytest.mark.parametrize(
    "data",
    [
        tar({}, extra=(tar_special("top", tarfile.SYMTYPE, ".."),)),
        zipped({}, symlinks={"top": ".."}),
    ],
    ids=["tar", "zip"],
)
def test_unwanted_links_are_left_out(place: Path, data: bytes) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(data)
    assert extract(archive, place / "into", photos, LIMITS) == []
    assert everything(place / "into") == {}


def test_file_through_an_unwanted_link_lands_inside(place: Path) -> None:
    files = {"top/a.png": b"A"}
    link = tar_special("top", tarfile.SYMTYPE, "..")
    archive = place.parent / "archive"
    archive.write_bytes(tar({}, mode="w", extra=(link,))[:512] + tar(files, mode="w"))
    extract(archive, place / "into", photos, LIMITS)
    assert everything(place) == {"into": None, "into/train": None, "into/train/a.png": b"A", "outside": b"precious"}


def test_link_that_was_there_before_is_not_followed(place: Path) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(tar(GOOD))
    (place / "into" / "train").symlink_to(place)
    with pytest.raises(UserError, match="leads outside"):
        extract(archive, place / "into", photos, LIMITS)
    assert sorted(path.name for path in place.iterdir()) == ["into", "outside"]


@container
@pytest.mark.parametrize("limits", [Limits(members=2, bytes=10_000_000), Limits(members=20, bytes=71_000)])
def test_caps(place: Path, pack: Callable[[dict[str, bytes]], bytes], limits: Limits) -> None:
    refused(place, pack(GOOD), r"it holds more than", limits)


@container
def test_bomb_is_refused_before_it_is_unpacked(place: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    refused(place, pack({"bomb.png": bytes(30_000_000)}), "it holds more than")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@container
def test_two_members_for_one_place(place: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    refused(place, pack({"a/x.png": b"1", "a/./x.png": b"2"}), "more than once")


def test_lying_sizes_are_found_out(place: Path) -> None:
    honest = zipped({"bomb.png": bytes(5_000_000)})
    lying = honest.replace(struct.pack("<L", 5_000_000), struct.pack("<L", 1000))
    assert lying != honest
    refused(place, lying, "cannot be unpacked")


def flipped(data: bytes, at: float) -> bytes:
    position = int(len(data) * at)
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all",
        b"PK\3\4 no archive at all",
        tar(GOOD)[:200],
        tar(GOOD)[:-5],
        tar(GOOD, mode="w")[:40_000],
        tar(GOOD, mode="w:xz")[:-20],
        flipped(tar(GOOD), 0.5),
        zipped(GOOD)[:-10],
        flipped(zipped(GOOD), 0.1),
        zipped({"a.png": b"x"}).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
    ],
)
def test_broken_archives_are_told_and_leave_nothing(place: Path, data: bytes) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(data)
    with pytest.raises(UserError, match=rf"{archive} cannot be unpacked \(.+\): remove it and run again"):
        extract(archive, place / "into", all_of, LIMITS)
    assert [name for name, content in everything(place / "into").items() if content is not None] == []


@container
def test_disk_that_fills_up_leaves_nothing(place: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    archive = place.parent / "archive"
    archive.write_bytes(pack(GOOD))
    with largest_file(5000), pytest.raises(UserError, match=r"cannot write .*b\.png"):
        extract(archive, place / "into", photos, LIMITS)
    assert everything(place / "into") == {"train": None}
