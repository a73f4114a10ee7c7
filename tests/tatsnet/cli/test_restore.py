"""`tatsnet restore` of several photos."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tatsnet.cli import main
from tatsnet.cli.restore import GAP
from tatsnet.cli.work import told_if_slow
from tatsnet.photos.files import Photo, read_photo, write_photo
from tatsnet.pruned.extraction import extract
from tatsnet.restorer import Restorer
from tests.tatsnet.networks import frozen_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(extract(frozen_network(4), tmp_path_factory.mktemp("models") / "net").folder)


def pixels(height: int, width: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(height).random((height, width, 3), np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for height, name in ((9, "a.png"), (12, "b.png"), (10, "c.tif")):
        write_photo(folder / name, Photo(rgb_HWC=pixels(height, 14)), pixels(height, 14))
    return folder


def restore(model: str, *argv: str | Path) -> int:
    return main(["restore", *map(str, argv), "--denoise", "0.4", "--model", model])


def test_each_is_restored_as_alone(photos: Path, tmp_path: Path, model: str) -> None:
    assert restore(model, photos, "-o", tmp_path / "out") == 0
    for name in ("a.png", "b.png", "c.tif"):
        assert restore(model, photos / name, "-o", tmp_path / name) == 0
        assert (tmp_path / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_broken_photo_is_told_and_the_others_are_made(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes()[:60])
    assert restore(model, photos, photos / "none.png", "-o", tmp_path / "out") == 2
    told = capsys.readouterr()
    assert "b.png: the image is damaged" in told.err
    assert "none.png: there is no such file" in told.err
    assert told.err.splitlines()[-1].startswith("tatsnet: 2 of 4 photos not restored")
    assert told.out.splitlines()[-1].startswith("2 of 4 photos restored into")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.tif"]


def test_photos_stay_as_they_are_unless_asked(photos: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    assert restore(model, photos, "-o", photos) == 2
    assert restore(model, photos / "a.png", "-o", photos / "a.png") == 2
    assert "--in-place" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    expected = Restorer.load(model).restore(read_photo(photos / "a.png").rgb_HWC, (0, 0.4, 0))
    assert restore(model, photos, "--in-place") == 0
    assert np.abs(read_photo(photos / "a.png").rgb_HWC - expected).max() <= 0.5 / 255 + 1e-6
    assert all(path.read_bytes() != before[path.name] for path in photos.iterdir())


def test_a_comparison_holds_both(photos: Path, tmp_path: Path, model: str) -> None:
    assert restore(model, photos, "-o", tmp_path / "out", "--compare") == 0
    both = read_photo(tmp_path / "out" / "b-compare.png").rgb_HWC
    assert both.shape == (12, 28 + GAP, 3)
    assert np.array_equal(both[:, :14], read_photo(photos / "b.png").rgb_HWC)
    assert np.array_equal(both[:, 14 + GAP :], read_photo(tmp_path / "out" / "b.png").rgb_HWC)


def test_a_file_in_the_folders_place_is_named(
    photos: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    assert restore(model, photos, "-o", tmp_path / "out") == 2
    assert "several photos need a folder" in capsys.readouterr().err


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("screen", "seconds", "told"), [(True, 0.0, True), (True, 60.0, False), (False, 0.0, False)])
def test_a_long_wait_is_told_on_a_screen(
    monkeypatch: pytest.MonkeyPatch, screen: bool, seconds: float, told: bool
) -> None:
    stream = Screen() if screen else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with told_if_slow("compiling", seconds):
        deadline = time.monotonic() + (10 if told else 0.1)
        while "compiling" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ("compiling" in stream.getvalue()) is told
