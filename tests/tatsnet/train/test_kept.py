"""Checkpoints: files of a bounded size, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import torch

from tatsnet.method.training import ITERATION
from tatsnet.train.kept import PART_BYTES, Checkpoint

MOST = 16 * 2**20


def state(iteration: int) -> dict[str, torch.Tensor]:
    big = {f"model.{i}": torch.full((2**20,), float(i)) for i in range(9)}  # 36 MiB
    return {**big, ITERATION: torch.tensor(iteration)}


def test_a_checkpoint_is_several_files_of_at_most_16_mib(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "a", print)
    kept.curve.append({"iteration": 25, "phase": "open", "l1": 0.5})
    kept.keep(state(25))
    files = list((tmp_path / "a").glob("*.safetensors"))
    assert len(files) == 3
    assert all(file.stat().st_size <= MOST for file in files)
    assert PART_BYTES < MOST
    again = Checkpoint(tmp_path / "a", print)
    assert again.iteration == 25
    assert again.curve == kept.curve
    assert again.state is not None
    assert all(torch.equal(again.state[name], tensor) for name, tensor in state(25).items())


def test_a_later_one_takes_its_place_with_fewer_files(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "a", print)
    kept.keep(state(25))
    kept.keep({ITERATION: torch.tensor(50)})
    again = Checkpoint(tmp_path / "a", print)
    assert again.iteration == 50
    assert again.state is not None
    assert list(again.state) == [ITERATION]


def test_a_damaged_one_is_told_and_left_out(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "a", print).keep(state(25))
    part = tmp_path / "a" / "part-1.safetensors"
    part.write_bytes(part.read_bytes()[:1000])
    told: list[str] = []
    again = Checkpoint(tmp_path / "a", told.append)
    assert again.state is None
    assert again.iteration == 0
    assert "begins anew" in told[0]


def test_it_is_kept_when_it_is_time(tmp_path: Path) -> None:
    never, always = (
        Checkpoint(tmp_path / "never", print, every_s=1e9),
        Checkpoint(tmp_path / "always", print, every_s=0),
    )
    for kept in (never, always):
        kept.visit(lambda: state(1))
    assert not (tmp_path / "never").exists()
    assert (tmp_path / "always").is_dir()
    always.forget()
    assert not (tmp_path / "always").exists()
