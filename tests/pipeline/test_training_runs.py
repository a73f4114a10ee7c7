from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.common.errors import UserError
from pipeline.common.progress import say
from pipeline.training.follow import checkpoint_path, device_of, forget, run_to_end, warn_if_useless
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import Diverged
from tatsnet.train.kept import Checkpoint


class Diverging(Iterator[Any]):
    def __next__(self) -> Any:
        raise Diverged("the loss became nan at iteration 100 of 200")

    def state(self) -> dict[str, torch.Tensor]:
        return {}


def test_a_divergence_is_the_user_s_to_mend_and_says_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^pretrain: the loss became nan at iteration 100 .*train\.lr.*params\.yaml"):
        run_to_end("pretrain", Diverging(), 200, Checkpoint(tmp_path / "c", say))  # type: ignore[arg-type]


def test_the_device_is_the_one_that_is_asked_for() -> None:
    assert device_of(TrainConfig(device="cpu")) == torch.device("cpu")
    assert device_of(TrainConfig(device="auto")).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_device_that_is_not_there_is_the_user_s_to_mend() -> None:
    with pytest.raises(UserError, match=r"params\.yaml: train\.device is cuda"):
        device_of(TrainConfig(device="cuda"))


def test_a_stage_that_ended_leaves_no_checkpoint_of_its_own(tmp_path: Path) -> None:
    paths = [checkpoint_path(tmp_path, stage, {"lr": lr}) for stage in ("a", "ab") for lr in (1, 2)]
    for path in paths:
        Checkpoint(path, say).keep({})
    forget(tmp_path, "a", [paths[0]])
    assert [path.exists() for path in paths] == [False, True, True, True]
    os.utime(paths[1], (0, 0))
    os.utime(paths[2], (0, 0))
    forget(tmp_path, "a", [paths[0]])
    assert [path.exists() for path in paths] == [False, False, True, True]


@pytest.mark.parametrize(("psnr_db", "warned"), [(21.0, False), (20.0, True), (19.8, True), (float("nan"), True)])
def test_a_training_that_learnt_nothing_is_told(
    psnr_db: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_if_useless("pretrain", psnr_db, 20.0)
    assert ("WARNING restores no better than its input" in capsys.readouterr().out) is warned
