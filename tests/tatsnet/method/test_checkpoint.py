"""A network read back is the network that was written, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tatsnet.method.checkpoint import load_dense, load_masked, read_extra, save_dense, save_masked
from tatsnet.method.masked import MaskedNetwork, Phase
from tatsnet.method.settings import MethodConfig
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tests.tatsnet.networks import some_tasks

TINY = NetworkConfig(width=8, blocks=2)
IMAGE = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(1))
TASK = torch.tensor([[0.2, 0.0, 1.0], [0.9, 0.4, 0.3]])


def dense() -> SuperNetwork:
    return SuperNetwork(TINY, torch.Generator().manual_seed(0))


def masked(*, frozen: bool, sharing: bool = True, method: MethodConfig | None = None) -> MaskedNetwork:
    generator = torch.Generator().manual_seed(0)
    method = method or MethodConfig(min_channels=2, controller_hidden=5)
    model = MaskedNetwork(TINY, method, gamma=0.7, sharing=sharing, generator=generator)
    model.gates(torch.rand(4, 3, generator=generator), Phase.JOINT)
    if frozen:
        model.freeze(some_tasks(generator))
    return model


def test_a_dense_network_comes_back_the_same(tmp_path: Path) -> None:
    network = dense().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_dense(tmp_path / "new" / "dense.safetensors", network, {"run": "7"})
    back = load_dense(tmp_path / "new" / "dense.safetensors")
    assert torch.equal(back(IMAGE, TASK), dense()(IMAGE, TASK))
    assert read_extra(tmp_path / "new" / "dense.safetensors") == {"run": "7"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dense.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_frozen_masked_network_comes_back_the_same(tmp_path: Path, dtype: torch.dtype) -> None:
    model = masked(frozen=True).to(dtype)
    save_masked(tmp_path / "m", model, gamma=0.7, sharing=True, meta={"trial": "3"})
    back = load_masked(tmp_path / "m")
    assert torch.equal(back(IMAGE.to(dtype), TASK.to(dtype)), model(IMAGE.to(dtype), TASK.to(dtype)))
    assert (back.shared, back.method, back.consensus.gamma) == (model.shared, model.method, 0.7)
    assert read_extra(tmp_path / "m") == {"trial": "3"}
    assert all(p.requires_grad for p in back.supernet.parameters())
    assert not any(p.requires_grad for p in back.controller.parameters())


@pytest.mark.parametrize("sharing", [True, False])
def test_a_search_goes_on_from_its_checkpoint_as_if_never_stopped(tmp_path: Path, sharing: bool) -> None:
    model = masked(frozen=False, sharing=sharing)
    save_masked(tmp_path / "m", model, gamma=0.7, sharing=sharing, meta={})
    back = load_masked(tmp_path / "m")
    assert back.searches_sharing is sharing
    for _ in range(3):
        there, here = (m.gates(TASK, Phase.JOINT) for m in (model, back))
    assert all(torch.equal(a, b) for a, b in zip(there, here, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), back.state_dict().values(), strict=True))


def test_loading_leaves_the_global_random_numbers_alone(tmp_path: Path) -> None:
    save_masked(tmp_path / "m", masked(frozen=True), gamma=0.7, sharing=True, meta={})
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_masked(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), before)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def scribble(path: Path) -> None:
    path.write_bytes(b"not a network at all")


def foreign(path: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(2)}, path, {"format": "pt"})


def bad_json(path: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(2)}, path, {"tatsnet": "{"})


def other_kind(path: Path) -> None:
    save_dense(path, dense(), {})


def other_size(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b'\\"blocks\\": 2') == 1
    path.write_bytes(data.replace(b'\\"blocks\\": 2', b'\\"blocks\\": 3'))


def odd_width(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b'\\"width\\": 8') == 1
    path.write_bytes(data.replace(b'\\"width\\": 8', b'\\"width\\": 7'))


@pytest.mark.parametrize("spoil", [truncate, scribble, foreign, bad_json, other_kind, other_size, odd_width])
def test_another_file_is_refused_by_its_name(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "m.safetensors"
    save_masked(path, masked(frozen=True), gamma=0.7, sharing=True, meta={})
    load_masked(path)
    spoil(path)
    with pytest.raises(ValueError, match=r"m\.safetensors"):
        load_masked(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors.*dvc repro"):
        load_dense(tmp_path / "nowhere.safetensors")


def test_a_note_cannot_take_the_place_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tatsnet"):
        save_dense(tmp_path / "d", dense(), {"tatsnet": "x"})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "d"
    save_dense(path, dense(), {})
    before = path.read_bytes()
    broken = dense()
    broken.register_buffer("odd", torch.zeros(1).to("meta"))
    with pytest.raises(NotImplementedError):
        save_dense(path, broken, {})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    network = SuperNetwork(NetworkConfig(width=4, blocks=1))
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0] = value
    save_dense(tmp_path / "net.safetensors", network)
    with pytest.raises(ValueError, match=r"head\.weight that are not finite floating"):
        load_dense(tmp_path / "net.safetensors")
