from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.datasets import (
    PIXELS,
    SHAPES,
    load_eval_photos,
    load_pack,
    pack_digest,
    read_rgb,
    save_eval_photo,
    write_pack,
)
from pipeline.common.errors import UserError
from tatsnet.data.pairs import PhotoPack
from tatsnet.quality.evaluation import EvalPhoto, degraded_grid
from tatsnet.system.files import sha256
from tests.pipeline.search.jobs import smooth_photo


def eval_photo(name: str, height: int = 18, width: int = 25, seed: int = 0) -> EvalPhoto:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (27, height, width, 3), dtype=np.uint8)
    images[1] = 0
    images[2] = 255
    return EvalPhoto(name=name, clean=images[0], degraded=tuple(images[1:]))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_eval_photo(eval_photo("a-0"), tmp_path)
    return tmp_path


def equal(first: EvalPhoto, second: EvalPhoto) -> bool:
    pairs = zip((first.clean, *first.degraded), (second.clean, *second.degraded), strict=True)
    return first.name == second.name and all(np.array_equal(a, b) for a, b in pairs)


def test_evaluation_photos_come_back_exactly_and_by_name(saved: Path) -> None:
    for name, seed in (("c-0", 2), ("b-1", 1)):
        save_eval_photo(eval_photo(name, seed=seed), saved)
    loaded = load_eval_photos(saved)
    assert [photo.name for photo in loaded] == ["a-0", "b-1", "c-0"]
    assert all(equal(photo, eval_photo(photo.name, seed=seed)) for photo, seed in zip(loaded, range(3), strict=True))


def test_every_degradation_has_a_file_of_its_name(saved: Path) -> None:
    names = {path.name for path in (saved / "a-0").iterdir()}
    assert names == {"clean.png", *(f"{degradation.name}.png" for degradation in degraded_grid())}
    assert len(names) == 27


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def another(path: Path) -> None:
    path.write_text("no image")


@pytest.mark.parametrize("damage", [Path.unlink, truncated, another], ids=["missing", "truncated", "no image"])
def test_a_damaged_evaluation_photo_is_named_with_what_to_do(saved: Path, damage: Callable[[Path], None]) -> None:
    path = saved / "a-0" / f"{degraded_grid()[4].name}.png"
    damage(path)
    with pytest.raises(UserError, match="dvc repro --force degrade") as caught:
        load_eval_photos(saved)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", ""], ids=["missing", "empty"])
def test_a_folder_without_evaluation_photos_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="dvc repro --force degrade") as caught:
        load_eval_photos(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_packed_photos_come_back_exactly(tmp_path: Path) -> None:
    photos = [smooth_photo(20, 31, 0), smooth_photo(17, 16, 1)[:, ::-1]]
    write_pack(iter(photos), tmp_path)
    pack = load_pack(tmp_path)
    assert all(np.array_equal(pack.photo(index), photo) for index, photo in enumerate(photos))
    assert (str(pack.pixels.dtype), str(pack.shapes.dtype)) == ("uint8", "int64")
    assert pack_digest(tmp_path) == sha256(PhotoPack.of(photos).pixels.tobytes())


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", [PIXELS, SHAPES])
@pytest.mark.parametrize("damage", [Path.unlink, truncated, emptied], ids=["missing", "truncated", "empty"])
def test_a_damaged_pack_is_named_with_what_to_do(tmp_path: Path, damage: Callable[[Path], None], name: str) -> None:
    write_pack([smooth_photo(20, 31, 0)], tmp_path)
    damage(tmp_path / name)
    with pytest.raises(UserError, match="dvc repro --force degrade") as caught:
        load_pack(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", (9, 7)), ("RGBA", (9, 7, 4)), ("RGB", (9, 7, 3)), ("I;16", (9, 7))], ids=str
)
def test_every_kind_of_photo_becomes_8_bit_rgb(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    kind = np.uint16 if mode == "I;16" else np.uint8
    pixels = rng.integers(0, np.iinfo(kind).max + 1, shape, dtype=kind)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    rgb = read_rgb(tmp_path / "photo.png")
    assert (rgb.shape, str(rgb.dtype)) == ((9, 7, 3), "uint8")
    expected = np.round(pixels / 257).astype(np.uint8) if mode == "I;16" else pixels
    colours = expected[..., :3] if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
    assert np.array_equal(rgb, colours)
