from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.common.errors import UserError
from pipeline.training.follow import Checkpoint, checkpoint_path, device_of, follow, forget
from tatsnet.method.settings import TrainConfig
from tatsnet.method.training import ITERATION, Diverged, Progress
from tatsnet.system.files import pack


def steps(count: int, diverges: bool = False) -> Iterator[Progress]:
    for i in range(1, count + 1):
        loss = 1 / i
        yield Progress(iteration=25 * i, iterations=25 * count, phase="open", loss=loss, lr=0.5**i, terms={"l1": loss})
    if diverges:
        raise Diverged("the loss became nan at iteration 100 of 200")


def test_the_curve_has_every_report_in_order() -> None:
    curve = follow("pretrain", steps(4), 100)
    assert curve == [{"iteration": 25 * i, "phase": "open", "l1": 1 / i} for i in range(1, 5)]


def test_the_end_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    follow("pretrain", steps(4), 100)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"pretrain  100/100  loss {(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4:.4f}")


def test_the_shown_loss_is_the_mean_of_the_last_eight(capsys: pytest.CaptureFixture[str]) -> None:
    follow("pretrain", steps(20), 500)
    assert f"loss {sum(1 / i for i in range(13, 21)) / 8:.4f}" in capsys.readouterr().out


def test_a_divergence_is_the_user_s_to_mend_and_says_where_and_how() -> None:
    with pytest.raises(UserError, match=r"^pretrain: the loss became nan at iteration 100 .*train\.lr.*params\.yaml"):
        follow("pretrain", steps(4, diverges=True), 200)


def test_the_device_is_the_one_that_is_asked_for() -> None:
    assert device_of(TrainConfig(device="cpu")) == torch.device("cpu")
    assert device_of(TrainConfig(device="auto")).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_device_that_is_not_there_is_the_user_s_to_mend() -> None:
    with pytest.raises(UserError, match=r"params\.yaml: train\.device is cuda"):
        device_of(TrainConfig(device="cuda"))


class TestCheckpoint:
    def test_it_is_taken_up_with_its_curve(self, tmp_path: Path) -> None:
        first = Checkpoint(tmp_path / "deep" / "c.safetensors")
        assert (first.iteration, first.state, first.curve) == (0, None, [])
        follow("pretrain", steps(4), 100, first, lambda: {ITERATION: torch.tensor(100), "weight": torch.ones(3)})
        again = Checkpoint(tmp_path / "deep" / "c.safetensors")
        assert again.iteration == 100
        assert again.curve == first.curve != []
        assert again.state is not None
        assert set(again.state) == {ITERATION, "weight"}

    def test_a_stage_that_ended_leaves_none_of_its_own(self, tmp_path: Path) -> None:
        paths = [checkpoint_path(tmp_path, stage, {"lr": lr}) for stage in ("a", "ab") for lr in (1, 2)]
        for path in paths:
            Checkpoint(path).keep({})
        forget(tmp_path, "a", [paths[0]])
        assert [path.exists() for path in paths] == [False, True, True, True]
        os.utime(paths[1], (0, 0))
        os.utime(paths[2], (0, 0))
        forget(tmp_path, "a", [paths[0]])
        assert [path.exists() for path in paths] == [False, False, True, True]

    @pytest.mark.parametrize("every_s", [0.0, 3600.0])
    def test_it_is_kept_when_it_is_time_to(self, tmp_path: Path, every_s: float) -> None:
        checkpoint, kept = Checkpoint(tmp_path / "c.safetensors", every_s), []

        def state() -> dict[str, torch.Tensor]:
            kept.append(len(checkpoint.curve))
            return {ITERATION: torch.tensor(0)}

        follow("pretrain", steps(4), 100, checkpoint, state)
        assert kept == ([4] if every_s else [1, 2, 3, 4, 4])

    @pytest.mark.parametrize("content", [b"", b"no safetensors", pack({ITERATION: torch.tensor(3)})])
    def test_a_damaged_one_is_told_and_begun_anew(
        self, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "c.safetensors").write_bytes(content)
        assert Checkpoint(tmp_path / "c.safetensors").state is None
        assert capsys.readouterr().out
