"""A pack sent to another worker: mapped where it lies, fetched where it does not."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.cluster import photos
from pipeline.cluster.photos import TravellingPack
from pipeline.common.datasets import write_pack
from pipeline.common.errors import UserError
from tests.pipeline.search.jobs import smooth_photo


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(photos, "CACHE", str(tmp_path / "cache"))
    place = tmp_path / "project" / "train"
    place.mkdir(parents=True)
    write_pack([smooth_photo(300, 400, 0), smooth_photo(200, 240, 1)], place)
    return place


def test_it_travels_as_a_place_and_not_as_pixels(folder: Path) -> None:
    pack = TravellingPack.at(folder, None)
    sent = pickle.dumps(pack)
    assert len(sent) < 1000 < pack.pixels.nbytes
    arrived = pickle.loads(sent)
    assert np.array_equal(arrived.pixels, pack.pixels)
    assert np.array_equal(arrived.shapes, pack.shapes)


@pytest.mark.parametrize("there", ["nothing", "other photos", "a pack cut short"])
def test_a_node_without_the_project_fetches_it_once(folder: Path, tmp_path: Path, there: str) -> None:
    store = tmp_path / "store"
    pack = TravellingPack.at(folder, str(store))
    pixels, sent = np.array(pack.pixels), pickle.dumps(pack)
    if there == "a pack cut short":
        (folder / "pixels.u8").write_bytes(b"")
    else:
        folder.rename(tmp_path / "elsewhere")
    if there == "other photos":
        folder.mkdir()
        write_pack([smooth_photo(30, 40, 7)], folder)
    assert np.array_equal(pickle.loads(sent).pixels, pixels)
    store.rename(tmp_path / "gone")
    again = pickle.loads(sent)
    assert np.array_equal(again.pixels, pixels), "it is kept for the next worker"
    assert np.array_equal(pickle.loads(pickle.dumps(again)).pixels, pixels)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [pack.digest]


def test_without_a_store_a_node_without_the_project_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    sent = pickle.dumps(TravellingPack.at(folder, None))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="TATSNET_STORE"):
        pickle.loads(sent)


def test_it_is_put_into_the_store_once(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    TravellingPack.at(folder, str(store))
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    TravellingPack.at(folder, str(store))
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()} == before
    assert len(before) == 2
