"""Laws of a training on a cluster, without one; tests/slow/test_cluster_trainings.py has a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.cluster.report import Report
from pipeline.cluster.store import Store
from pipeline.common.layout import WEIGHTS
from pipeline.training.on_cluster import STRETCHES, Shared, TrainingTrainable
from pipeline.training.work import Job, Trained
from tatsnet.method.checkpoint import load_dense, load_masked, save_masked
from tatsnet.method.objective import Variant
from tatsnet.network.architecture import NetworkConfig
from tests.pipeline.search.jobs import make_job
from tests.tatsnet.networks import frozen_network

ITERATIONS = 2 * STRETCHES


@pytest.fixture(params=["from random weights", "a found network"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    begin: bytes | NetworkConfig = NetworkConfig(width=8, blocks=1)
    variant = None
    if request.param == "a found network":
        variant, path = Variant.TA_TS_M, tmp_path / "found.safetensors"
        save_masked(path, frozen_network(4), gamma=0.5, sharing=True)
        begin = path.read_bytes()
    config = make_job().train
    return Job(label="it", key="key", begin=begin, variant=variant, iterations=ITERATIONS, config=config)


def worker(job: Job, store: Path) -> TrainingTrainable:
    shared = make_job()
    made = TrainingTrainable.__new__(TrainingTrainable)
    made.config = {"number": 0, "store": str(store), "study": "pretrain"}
    made.setup(made.config, Shared(jobs=[job], photos=shared.pack, valid=shared.valid, cpus=1.0))
    return made


def network(job: Job, store: Path, folder: Path) -> dict[str, torch.Tensor]:
    folder.mkdir()
    Store(str(store), "pretrain").get("key", folder)
    load: Any = load_masked if job.variant else load_dense
    return dict(load(folder / WEIGHTS).state_dict())


def test_a_new_worker_at_every_stretch_makes_the_network_that_one_makes(job: Job, tmp_path: Path) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    undisturbed = worker(job, one)
    for _ in range(STRETCHES):
        whole = Report.from_result(undisturbed.step())
    for _ in range(STRETCHES):
        told = Report.from_result(worker(job, many).step())
    assert told.done
    assert told.record == whole.record
    record = Trained.from_json(told.record or {})
    assert [point["iteration"] for point in record.curve][-1] == ITERATIONS
    made, expected = network(job, many, tmp_path / "a"), network(job, one, tmp_path / "b")
    assert all(torch.equal(made[name], weight) for name, weight in expected.items())


def test_what_has_ended_says_so_at_once_and_is_not_trained_again(job: Job, tmp_path: Path) -> None:
    first = worker(job, tmp_path / "store")
    for _ in range(STRETCHES):
        last = first.step()
    again = Report.from_result(worker(job, tmp_path / "store").step())
    assert (again.done, again.reached) == (True, None)
    assert again.record == Report.from_result(last).record
