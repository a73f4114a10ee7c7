"""Pretraining and fine-tuning as tasks of a real Ray cluster, whose workers die."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

import pytest
import torch

from pipeline.common.layout import SUPERNET, WEIGHTS
from tatsnet.method.checkpoint import load_dense
from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, ray_cluster, staging, trainers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_training_whose_worker_is_killed_ends_on_another_as_if_undisturbed(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"pretrain.iterations": 3000, "search.resources.max_failures": 2})
    with staging("pretrain", project, root) as here:
        assert here.end() == 0, here.told()
    expected = load_dense(project / SUPERNET / WEIGHTS).state_dict()
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ray_cluster(project, token, head_cpus=0) as cluster:
        first, second = cluster.add(cpus=1), cluster.add(cpus=1)
        on_cluster = {**token, "RAY_ADDRESS": cluster.address}
        with staging("pretrain", project, root, **on_cluster) as storeless:
            assert storeless.end() == 2
            assert "TATSNET_STORE=s3://bucket/prefix" in storeless.errors()
        with staging("pretrain", project, root, TATSNET_STORE=str(project / "store"), **on_cluster) as training:
            training.until(r"pretrain  \d+/3000 ")
            (worker,) = trainers(first.pid) + trainers(second.pid)
            assert not trainers(training.process.pid)
            os.kill(worker, signal.SIGKILL)
            training.until("pretrain  resumes on another worker")
            assert training.end() == 0, training.told()
    made = load_dense(project / SUPERNET / WEIGHTS).state_dict()
    assert all(torch.allclose(made[name], weight, atol=1e-6) for name, weight in expected.items())
