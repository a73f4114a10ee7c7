"""A training followed to its end, or to its suspension: lines, curve, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tatsnet.method.training import ITERATION, Progress
from tatsnet.train.following import follow
from tatsnet.train.kept import Checkpoint


def steps(count: int) -> Iterator[Progress]:
    for i in range(1, count + 1):
        loss = 1 / i
        yield Progress(iteration=25 * i, iterations=25 * count, phase="open", loss=loss, lr=0.5**i, terms={"l1": loss})


def state() -> dict[str, torch.Tensor]:
    return {ITERATION: torch.tensor(100), "weight": torch.ones(3)}


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def checkpoint(tmp_path: Path, lines: list[str]) -> Checkpoint:
    return Checkpoint(tmp_path / "deep" / "c", lines.append)


def test_the_curve_has_every_report_in_order_and_goes_on_when_resumed(checkpoint: Checkpoint, lines: list[str]) -> None:
    assert (checkpoint.iteration, checkpoint.state, checkpoint.curve) == (0, None, [])
    assert follow("pretrain", steps(4), 100, state, checkpoint, lines.append)
    assert checkpoint.curve == [{"iteration": 25 * i, "phase": "open", "l1": 1 / i} for i in range(1, 5)]
    again = Checkpoint(checkpoint.path, lines.append)
    assert (again.iteration, again.curve) == (100, checkpoint.curve)
    assert again.state is not None
    assert set(again.state) == {ITERATION, "weight"}


def test_the_end_is_shown_with_the_mean_of_the_last_eight_losses(checkpoint: Checkpoint, lines: list[str]) -> None:
    follow("pretrain", steps(20), 500, state, checkpoint, lines.append)
    assert lines[-1].startswith(f"pretrain  500/500  loss {sum(1 / i for i in range(13, 21)) / 8:.4f}")


def test_at_the_deadline_it_is_suspended_at_a_report_with_a_checkpoint(
    checkpoint: Checkpoint, lines: list[str]
) -> None:
    assert not follow("pretrain", steps(4), 100, state, checkpoint, lines.append, until=0.0)
    assert len(checkpoint.curve) == 1
    assert lines[-1] == "pretrain  suspended at iteration 25: the same command resumes it"
    assert len(Checkpoint(checkpoint.path, lines.append).curve) == 1


@pytest.mark.parametrize("every_s", [0.0, 3600.0])
def test_a_checkpoint_is_kept_when_it_is_time_to_and_at_the_end(tmp_path: Path, every_s: float) -> None:
    checkpoint, kept = Checkpoint(tmp_path / "c", print, every_s), []

    def counted() -> dict[str, torch.Tensor]:
        kept.append(len(checkpoint.curve))
        return {ITERATION: torch.tensor(0)}

    follow("pretrain", steps(4), 100, counted, checkpoint, print)
    assert kept == ([4] if every_s else [1, 2, 3, 4, 4])
