from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.common.layout import DENSE, SUPERNET, TRAIN_PIXELS, TRIALS, WEIGHTS
from pipeline.stages.finetune import make_jobs
from tatsnet.method.objective import Variant
from tests.pipeline.stages.project import context

PICKS = [
    {"name": "knee", "trial": 3, "variant": "TA+TSNet"},
    {"name": "best", "trial": 7, "variant": "TSNet-m"},
    {"name": "budget", "trial": 3, "variant": "TA+TSNet"},
]


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path) -> None:
    """What the jobs' checkpoints are named by."""
    for path in (TRAIN_PIXELS, SUPERNET / WEIGHTS, TRIALS / "0003" / WEIGHTS, TRIALS / "0007" / WEIGHTS):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(str(path))


def test_every_trial_is_trained_once_and_dense_first(tmp_path: Path) -> None:
    jobs = make_jobs(context(tmp_path), PICKS, tmp_path / "tuned")
    assert list(jobs) == [DENSE, "0003", "0007"]
    assert "knee+budget" in jobs["0003"].label
    assert [job.variant for job in jobs.values()] == [None, Variant("TA+TSNet"), Variant("TSNet-m")]


def test_dense_gets_what_a_pick_got_in_all(tmp_path: Path) -> None:
    jobs = make_jobs(context(tmp_path), PICKS, tmp_path / "tuned")
    assert {place: job.iterations for place, job in jobs.items()} == {DENSE: 100 + 30, "0003": 30, "0007": 30}


def test_each_reads_its_own_and_writes_its_own(tmp_path: Path) -> None:
    jobs = make_jobs(context(tmp_path), PICKS, tmp_path / "tuned")
    assert len({job.weights for job in jobs.values()}) == len({job.target for job in jobs.values()}) == 3
    assert jobs["0007"].weights == tmp_path / "search" / "trials" / "0007" / "weights.safetensors"
    assert jobs["0007"].target == tmp_path / "tuned" / "0007" / "weights.safetensors"


def checkpoints(root: Path) -> dict[str, Path]:
    return {place: job.checkpoint for place, job in make_jobs(context(root), PICKS, root / "tuned").items()}


def test_a_checkpoint_is_of_one_network_and_of_these_inputs(tmp_path: Path) -> None:
    before = checkpoints(tmp_path)
    assert len(set(before.values())) == 3
    assert checkpoints(tmp_path) == before
    (tmp_path / TRIALS / "0007" / WEIGHTS).write_text("trained anew")
    after = checkpoints(tmp_path)
    assert {place for place in before if before[place] != after[place]} == {"0007"}
    (tmp_path / TRAIN_PIXELS).write_text("other photos")
    assert not set(checkpoints(tmp_path).values()) & {*before.values(), *after.values()}
