from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.common.layout import PRUNED
from pipeline.report.measuring import Extracted
from pipeline.report.networks import extracted_parameters, pictures_of, time_networks
from pipeline.report.picks import subject_of
from pipeline.stages.benchmark import stage_seconds
from pipeline.tracking import Found, NullTracker
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.extraction import extract
from tatsnet.quality.metrics import psnr
from tatsnet.restorer import Restorer
from tatsnet.runtimes.choose import available
from tests.pipeline.search.jobs import smooth_photo
from tests.pipeline.stages.project import context
from tests.tatsnet.networks import TINY, frozen_network


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    return Extracted(Restorer.load(extract(frozen_network(4), tmp_path_factory.mktemp("models") / "net").folder))


def test_an_open_network_has_the_parameters_of_a_dense_one_without_its_shared_scales(tmp_path: Path) -> None:
    dense = sum(p.numel() for p in SuperNetwork(TINY).parameters())
    extract(frozen_network(0, 30.0, prune=False), tmp_path / "open")
    extract(frozen_network(4), tmp_path / "pruned")
    assert extracted_parameters(tmp_path / "open") == pytest.approx(dense, rel=0.02)
    assert extracted_parameters(tmp_path / "pruned") < 0.9 * dense


def test_every_network_is_timed_at_every_size_and_number_of_threads(tmp_path: Path) -> None:
    sizes, before = ["16x16", "24x16"], torch.get_num_threads()
    extract(frozen_network(4), tmp_path / PRUNED / "knee")
    config = context(tmp_path, {"benchmark.sizes": sizes, "benchmark.repeats": 1}).params.benchmark
    subjects = [subject_of(tmp_path, {"name": "knee", "variant": "TSNet", "trial": 0})]
    cells = time_networks(SuperNetwork(TINY), subjects, config)
    counts = sorted({1, len(os.sched_getaffinity(0))})
    assert list(cells) == ["dense", "knee"]
    for name, found in cells.items():
        assert [(cell.threads, cell.size) for cell in found] == [(n, size) for n in counts for size in sizes]
        assert {cell.runtime for cell in found} == {available()[0]}, "the fastest, and the same for both"
        assert all(cell.ms_per_effect > 0 for cell in found)
        assert name != "dense" or {cell.speedup for cell in found} == {1.0}
    assert torch.get_num_threads() == before


def test_the_contact_sheet_shows_27_effects_of_one_degraded_photo(tmp_path: Path, extracted: Extracted) -> None:
    clean = smooth_photo(24, 31, 0)
    Image.fromarray(clean).save(tmp_path / "photo.png")
    pictures = pictures_of("knee", extracted, tmp_path / "photo.png", 0)
    assert (pictures.network, pictures.photo) == ("knee", "photo.png")
    assert len({task for task, _ in pictures.effects}) == 27
    assert np.array_equal(pictures.clean, clean)
    assert psnr(pictures.input_image, clean) < 35
    assert all(image.shape == clean.shape for _, image in pictures.effects)


class Runs(NullTracker):
    """A tracker with these runs."""

    def __init__(self, *runs: Found) -> None:
        self._runs = runs

    def find(self, tags: Mapping[str, str] | None = None) -> list[Found]:
        return [run for run in self._runs if (tags or {}).items() <= run.tags.items()]


def test_the_seconds_are_those_of_the_runs_that_made_the_present_outputs(tmp_path: Path) -> None:
    runs = [
        Found(id=name, name=stage, status="FINISHED", tags={"stage": stage}, metrics={"seconds": seconds})
        for name, stage, seconds in (("a", "search", 1.0), ("b", "search", 2.0), ("c", "degrade", 3.0))
    ]
    for stage, run_id in (("search", "a"), ("degrade", "gone")):
        path = tmp_path / ".state" / "runs" / f"{stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run_id": run_id}))
    assert stage_seconds(replace(context(tmp_path), tracker=Runs(*runs))) == {"search": 1.0}
