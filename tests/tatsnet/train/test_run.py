"""Trainings on a folder of photos: dense, search and fine-tuning, suspended and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from tatsnet.method.checkpoint import load_masked
from tatsnet.method.objective import Objective, Variant
from tatsnet.method.settings import MethodConfig, TrainConfig
from tatsnet.network.architecture import NetworkConfig
from tatsnet.train.photos import read_photos, split
from tatsnet.train.run import NETWORK, Job, run

TRAIN = TrainConfig(patch=16, batch=2, lr=1e-3, controller_lr=1e-2, decay="cosine", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, image in enumerate((data.astronaut(), data.coffee(), data.chelsea(), data.cat())):
        Image.fromarray(image[40 * index : 40 * index + 100, 100:220]).save(folder / f"photo{index}.png")
    Image.fromarray(data.astronaut()[:10, :10]).save(folder / "tiny.png")
    return folder


def dense(photos: Path, out: Path) -> Job:
    network = NetworkConfig(width=4, blocks=1)
    return Job(kind="dense", photos=(photos,), out=out, iterations=75, network=network, train=TRAIN, valid=1)


def test_dense_search_and_finetune_follow_each_other(photos: Path, tmp_path: Path) -> None:
    told: list[str] = []
    first = dense(photos, tmp_path / "dense")
    figures = run(first, told.append)
    assert figures is not None
    assert figures["psnr_db"] > figures["input_psnr_db"] - 1
    objective = Objective(variant=Variant.TA_TS_M, lambda1=1e-3, lambda2=1e-2, gamma=0.9)
    found = replace(
        first,
        kind="search",
        out=tmp_path / "found",
        begin=first.out,
        objective=objective,
        method=MethodConfig(min_channels=1),
        iterations=60,
    )
    tuned = replace(found, kind="finetune", out=tmp_path / "tuned", begin=found.out, iterations=30)
    assert run(found, told.append) is not None
    assert run(tuned, told.append) is not None
    before, after = load_masked(found.out / NETWORK), load_masked(tuned.out / NETWORK)
    assert before.is_frozen
    assert torch.equal(before.fixed_shared_N, after.fixed_shared_N)
    assert torch.equal(before.consensus.preference_NC, after.consensus.preference_NC)
    assert not torch.equal(before.supernet.head.weight, after.supernet.head.weight)
    assert any("tiny.png is left out" in line for line in told)
    assert any("60/60" in line for line in told)


def test_suspended_and_resumed_it_is_the_same_to_the_last_bit(photos: Path, tmp_path: Path) -> None:
    whole, cut = dense(photos, tmp_path / "whole"), dense(photos, tmp_path / "cut")
    assert run(whole, lambda _: None) is not None
    assert run(cut, lambda _: None, seconds=0) is None
    assert (cut.out / "checkpoint").is_dir()
    halfway = load_file(cut.out / NETWORK)
    assert run(cut, lambda _: None, seconds=0) is None
    told: list[str] = []
    assert run(cut, told.append) is not None
    assert any("resumes at iteration 50" in line for line in told)
    ends = [load_file(job.out / NETWORK) for job in (whole, cut)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert not all(torch.equal(ends[0][name], halfway[name]) for name in ends[0])
    assert (whole.out / "curve.json").read_bytes() == (cut.out / "curve.json").read_bytes()
    assert not (cut.out / "checkpoint").exists()


def test_what_is_done_is_not_done_again(photos: Path, tmp_path: Path) -> None:
    job = dense(photos, tmp_path / "dense")
    first, written = run(job, lambda _: None), (job.out / NETWORK).stat().st_mtime_ns
    assert run(job, lambda _: None) == first
    assert (job.out / NETWORK).stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="other settings"):
        run(replace(job, iterations=80), lambda _: None)


def test_photos_to_measure_by_are_not_trained_on(photos: Path) -> None:
    named = read_photos(photos, 16, lambda _: None)
    pack, valid = split(named, 1, 0)
    aside = {crop.name.rsplit("-", 1)[0] for crop in valid}
    assert len(valid) == 1
    assert len(pack.shapes) == len(named) - 1
    kept = [image.tobytes() for name, image in named if name in aside]
    assert not any(pack.photo(index).tobytes() in kept for index in range(len(pack.shapes)))
    with pytest.raises(ValueError, match="leave none to train on"):
        split(named, len(named), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"kind": "finetune"}, "needs the folder of the training"),
        ({"kind": "search", "begin": Path("dense")}, "needs lambda1"),
    ],
)
def test_faults_are_refused(photos: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(dense(photos, tmp_path / "x"), **change)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no photo"):
        run(dense(tmp_path / "empty", tmp_path / "out"), lambda _: None)
