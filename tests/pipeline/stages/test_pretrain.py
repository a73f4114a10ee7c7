from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.common.errors import UserError
from pipeline.common.layout import FIGURES, SUPERNET, TRAININGS, WEIGHTS
from pipeline.stages import degrade
from pipeline.stages.pretrain import work
from pipeline.training import jobs
from tatsnet.method import training
from tatsnet.method.checkpoint import load_dense
from tatsnet.network.tasks import AXES
from tatsnet.quality.control import Control
from tatsnet.system.files import Tensors
from tatsnet.train.kept import Checkpoint
from tests.pipeline.stages.project import clean_photos, context

FEW = {"pretrain.iterations": 25, "train.batch": 2}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    clean_photos(tmp_path)
    degrade.work(context(tmp_path, FEW))
    return tmp_path


def figures(root: Path) -> Any:
    return json.loads((root / SUPERNET / FIGURES).read_text())


def test_it_leaves_a_network_and_its_figures(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work(context(project, FEW))
    network = load_dense(project / SUPERNET / WEIGHTS)
    assert (network.config.width, network.config.blocks) == (8, 1)
    found = figures(project)
    assert 5 < found["input_psnr_db"] < 60
    assert 5 < found["psnr_db"] < 60
    assert set(Control.from_json(found["control"]).gain_db) == set(AXES)
    assert f"dense {found['psnr_db']:.2f} dB" in capsys.readouterr().out


def test_the_same_seed_trains_the_same_network(project: Path) -> None:
    networks = []
    for seed in (0, 0, 1):
        work(context(project, FEW | {"train.seed": seed}))
        networks.append(load_dense(project / SUPERNET / WEIGHTS).state_dict())
    first, again, other = networks
    assert all(torch.allclose(first[name], again[name], atol=1e-6) for name in first)
    assert not all(torch.allclose(first[name], other[name], atol=1e-3) for name in first)


def test_what_is_interrupted_goes_on_and_ends_as_if_undisturbed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "REPORT_EVERY", 5)
    monkeypatch.setattr(jobs, "Checkpoint", partial(Checkpoint, every_s=0.0))
    kept = Checkpoint.visit

    def die(checkpoint: Checkpoint, state: Callable[[], Tensors]) -> None:
        kept(checkpoint, state)
        if len(checkpoint.curve) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "visit", die)
        with pytest.raises(KeyboardInterrupt):
            work(context(project, FEW))
    assert not (project / SUPERNET).exists()
    work(context(project, FEW))
    assert "pretrain  resumes at iteration 10" in capsys.readouterr().out
    again = load_dense(project / SUPERNET / WEIGHTS).state_dict()
    assert not list((project / TRAININGS).iterdir())
    work(context(project, FEW))
    whole = load_dense(project / SUPERNET / WEIGHTS).state_dict()
    assert all(torch.allclose(again[name], whole[name], atol=1e-6) for name in whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.lr": 1e30, "train.clip": 1e30, "pretrain.iterations": 100}, "train.lr"),
        pytest.param(
            {"train.device": "cuda"},
            "train.device is cuda",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device"),
        ),
    ],
    ids=["diverges", "no GPU"],
)
def test_what_the_user_can_mend_is_said_and_nothing_is_left(project: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        work(context(project, FEW | changes))
    assert not (project / SUPERNET).exists()
