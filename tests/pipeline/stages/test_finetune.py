from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.common.datasets import write_pack
from pipeline.common.layout import DENSE, SUPERNET, TRAIN, TRIALS, WEIGHTS
from pipeline.stages.finetune import make_jobs
from tatsnet.method.objective import Variant
from tests.pipeline.search.jobs import smooth_photo
from tests.pipeline.stages.project import context

PICKS = [
    {"name": "knee", "trial": 3, "variant": "TA+TSNet"},
    {"name": "best", "trial": 7, "variant": "TSNet-m"},
    {"name": "budget", "trial": 3, "variant": "TA+TSNet"},
]


def packed(root: Path, seed: int) -> None:
    (root / TRAIN).mkdir(parents=True, exist_ok=True)
    write_pack([smooth_photo(20, 31, seed)], root / TRAIN)


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path) -> None:
    """What the jobs' checkpoints are named by."""
    packed(tmp_path, 0)
    for path in (SUPERNET / WEIGHTS, TRIALS / "0003" / WEIGHTS, TRIALS / "0007" / WEIGHTS):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(str(path))


def test_every_trial_is_trained_once_and_dense_first(tmp_path: Path) -> None:
    jobs = make_jobs(context(tmp_path), PICKS)
    assert list(jobs) == [DENSE, "0003", "0007"]
    assert "knee+budget" in jobs["0003"].label
    assert [job.variant for job in jobs.values()] == [None, Variant("TA+TSNet"), Variant("TSNet-m")]


def test_dense_gets_what_a_pick_got_in_all(tmp_path: Path) -> None:
    jobs = make_jobs(context(tmp_path), PICKS)
    assert {place: job.iterations for place, job in jobs.items()} == {DENSE: 100 + 30, "0003": 30, "0007": 30}


def test_each_begins_with_its_own_network(tmp_path: Path) -> None:
    jobs = make_jobs(context(tmp_path), PICKS)
    assert jobs["0007"].begin == (tmp_path / TRIALS / "0007" / WEIGHTS).read_bytes()
    assert len({job.begin for job in jobs.values()}) == 3


def keys(root: Path) -> dict[str, str]:
    return {place: job.key for place, job in make_jobs(context(root), PICKS).items()}


def test_a_key_is_of_one_network_and_of_these_inputs(tmp_path: Path) -> None:
    before = keys(tmp_path)
    assert len(set(before.values())) == 3
    assert keys(tmp_path) == before
    (tmp_path / TRIALS / "0007" / WEIGHTS).write_text("trained anew")
    after = keys(tmp_path)
    assert {place for place in before if before[place] != after[place]} == {"0007"}
    packed(tmp_path, 1)
    assert not set(keys(tmp_path).values()) & {*before.values(), *after.values()}
