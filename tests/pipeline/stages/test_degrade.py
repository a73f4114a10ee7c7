from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.datasets import load_eval_photos, load_pack, read_rgb
from pipeline.common.errors import UserError
from pipeline.common.layout import CLEAN, EVAL, TRAIN
from pipeline.stages.degrade import pack, spread, work
from tatsnet.quality.metrics import psnr
from tests.pipeline.stages.project import SIZES, clean_photos, content, context


@pytest.mark.parametrize(
    ("count", "photos", "shares"),
    [
        (6, 2, [3, 3]),
        (6, 1, [6]),
        (7, 3, [3, 2, 2]),
        (2, 5, [1, 1, 0, 0, 0]),
        (0, 3, [1, 1, 1]),
        (1, 1, [1]),
    ],
)
def test_crops_are_spread_evenly_and_none_is_lost(count: int, photos: int, shares: list[int]) -> None:
    assert spread(count, photos) == shares
    assert sum(shares) == (count or photos)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    clean_photos(tmp_path)
    return tmp_path


def test_training_photos_are_packed_as_they_are(project: Path) -> None:
    work(context(project))
    pack = load_pack(project / TRAIN)
    paths = sorted((project / CLEAN / "train").iterdir())
    assert len(pack.shapes) == len(paths)
    assert all(np.array_equal(pack.photo(index), read_rgb(path)) for index, path in enumerate(paths))


@pytest.mark.parametrize(("crops", "count"), [(5, 5), (1, 1), (0, 2)])
def test_as_many_crops_are_cut_as_asked_for(project: Path, crops: int, count: int) -> None:
    work(context(project, {"eval.test_crops": crops, "benchmark.best_of_27_crops": min(crops, 1)}))
    photos = load_eval_photos(project / EVAL / "test")
    assert len(photos) == count
    assert all(image.shape == (48, 48, 3) for photo in photos for image in (photo.clean, *photo.degraded))


def test_whole_photos_stay_whole(project: Path) -> None:
    work(context(project, {"eval.crop": 0, "eval.test_crops": 0}))
    photos = load_eval_photos(project / EVAL / "test")
    assert [photo.clean.shape[:2] for photo in photos] == SIZES["test"]


def test_every_version_is_degraded_and_worse_with_all_three(project: Path) -> None:
    work(context(project))
    for photo in load_eval_photos(project / EVAL / "valid"):
        scores = [psnr(image, photo.clean) for image in photo.degraded]
        assert max(scores) < 60
        assert scores[-1] < np.mean(scores)


def test_the_same_seed_makes_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    made = []
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / place).mkdir()
        clean_photos(tmp_path / place)
        work(context(tmp_path / place, {"eval.seed": seed}))
        made.append(content(tmp_path / place / EVAL))
    assert made[0] == made[1] != made[2]
    assert made[0].keys() == made[2].keys()


@pytest.mark.parametrize(("split", "key"), [("train", "train.patch"), ("valid", "eval.crop"), ("test", "eval.crop")])
def test_a_photo_too_small_is_named_with_what_to_change(tmp_path: Path, split: str, key: str) -> None:
    clean_photos(tmp_path, {**SIZES, split: [*SIZES[split], (90, 14)]})
    with pytest.raises(UserError, match=key) as caught:
        work(context(tmp_path, {f"eval.{split}_crops": 0} if split != "train" else {}))
    assert f"{split}{len(SIZES[split])}.png" in str(caught.value)
    assert not (tmp_path / TRAIN).exists()
    assert not (tmp_path / EVAL).exists()


def changed(folder: Path) -> None:
    path = folder / "train" / "train0.png"
    path.write_bytes(path.read_bytes() + b"x")


def removed(folder: Path) -> None:
    (folder / "test" / "test0.png").unlink()


def added(folder: Path) -> None:
    (folder / "test" / "more.png").write_bytes((folder / "test" / "test0.png").read_bytes())


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def rewritten(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("train0", "train9"))


@pytest.mark.parametrize("damage", [changed, removed, added, without_manifest, rewritten], ids=lambda f: f.__name__)
def test_photos_that_are_not_those_of_the_manifest_are_refused(project: Path, damage: Callable[[Path], None]) -> None:
    work(context(project))
    before = content(project / "data" / "eval")
    damage(project / CLEAN)
    with pytest.raises(UserError, match="dvc repro --force download") as caught:
        work(context(project))
    assert str(project / CLEAN) in str(caught.value)
    assert content(project / "data" / "eval") == before


def test_a_training_photo_that_is_none_is_named(project: Path) -> None:
    path = sorted((project / CLEAN / "train").iterdir())[0]
    path.write_bytes(b"no photo")
    with pytest.raises(UserError, match=path.name):
        pack(project / CLEAN, project, 8)
