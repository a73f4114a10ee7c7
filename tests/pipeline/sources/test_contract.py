"""Every source keeps to one contract; s3 does so in tests/slow/test_s3_source.py, against a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.sources import DataConfig, Source, make_source
from pipeline.sources.bsds import BsdsSource
from pipeline.sources.cbsd68 import Cbsd68
from pipeline.sources.div2k import Div2kSource
from tests.pipeline.sources.contract import hold_to_contract
from tests.pipeline.sources.packing import photo, tar, zipped
from tests.pipeline.sources.web import Site


def small_test_set(site: Site) -> Cbsd68:
    remotes = tuple(site.remote(f"cbsd/000{number}.png", photo(900 + number)) for number in range(3))
    return Cbsd68(remotes=remotes, bsds_ids=frozenset(("7", "100", "55")))


def sample(site: Site, place: Path) -> Source:
    return make_source(DataConfig(source="sample", cache=str(place)))


def folder(site: Site, place: Path) -> Source:
    for name in ("train/a.png", "train/b.PNG", "valid/c.jpeg", "test/d.jpg"):
        (place / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "mine" / name).write_bytes(photo(len(name) + ord(name[-5]), "JPEG" if "j" in name else "PNG"))
    return make_source(DataConfig(source="folder", folder=str(place / "mine"), cache=str(place)))


def folder_without_valid(site: Site, place: Path) -> Source:
    source = folder(site, place)
    (place / "mine/valid/c.jpeg").rename(place / "mine/train/c.jpeg")
    (place / "mine/valid").rmdir()
    return source


def bsds(site: Site, place: Path) -> Source:
    ids = [7, 8, 55, 99, 100, 101, 2000, 30]
    photos = {f"BSR/BSDS500/data/images/{('train', 'val', 'test')[i % 3]}/{i}.jpg": photo(i, "JPEG") for i in ids}
    others = {"BSR/BSDS500/data/groundTruth/train/8.mat": b"x", "BSR/BSDS500/data/images/train/Thumbs.db": b"x"}
    archive = site.remote("bsds.tgz", tar(photos | others))
    return BsdsSource(cache=place / "cache", archive=archive, test=small_test_set(site), valid=2)


def div2k(site: Site, place: Path) -> Source:
    train = {f"DIV2K_train_HR/000{number}.png": photo(number) for number in range(1, 4)}
    valid = {f"DIV2K_valid_HR/080{number}.png": photo(80 + number) for number in range(1, 3)}
    return Div2kSource(
        cache=place / "cache",
        train=site.remote("train.zip", zipped({"DIV2K_train_HR/": b"", "__MACOSX/._0001.png": b"x"} | train)),
        valid=site.remote("valid.zip", zipped(valid)),
        test=small_test_set(site),
    )


CBSD = ["0000.png", "0001.png", "0002.png"]
CASES: list[tuple[Callable[[Site, Path], Source], dict[str, list[str]]]] = [
    (
        sample,
        {
            "train": ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"],
            "valid": ["grace_hopper.jpg"],
            "test": ["china.jpg", "flower.jpg"],
        },
    ),
    (folder, {"train": ["a.png", "b.PNG"], "valid": ["c.jpeg"], "test": ["d.jpg"]}),
    (folder_without_valid, {"train": ["a.png", "b.PNG"], "valid": ["c.jpeg"], "test": ["d.jpg"]}),
    (bsds, {"train": ["30.jpg", "8.jpg", "99.jpg"], "valid": ["101.jpg", "2000.jpg"], "test": CBSD}),
    (div2k, {"train": ["0001.png", "0002.png", "0003.png"], "valid": ["0801.png", "0802.png"], "test": CBSD}),
]


@pytest.mark.parametrize(("make", "names"), CASES, ids=[make.__name__ for make, _ in CASES])
def test_contract(
    make: Callable[[Site, Path], Source], names: dict[str, list[str]], site: Site, tmp_path: Path
) -> None:
    assert hold_to_contract(make(site, tmp_path / "place"), tmp_path) == names


@pytest.mark.parametrize("make", [bsds, div2k])
def test_downloads_happen_once(make: Callable[[Site, Path], Source], site: Site, tmp_path: Path) -> None:
    source = make(site, tmp_path)
    source.fetch(tmp_path / "first", lambda line: None)
    asked = len(site.asked)
    assert asked == len(site.files)
    source.fetch(tmp_path / "second", lambda line: None)
    assert len(site.asked) == asked
