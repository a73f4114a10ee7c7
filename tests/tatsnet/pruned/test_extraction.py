"""A network's folder appears only when what it holds has been proved equal to the masked network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tatsnet.data.degradation import GRID
from tatsnet.method.masked import MaskedNetwork
from tatsnet.method.settings import MethodConfig
from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.flops import effect_cost
from tatsnet.pruned import extraction
from tatsnet.pruned.extraction import NotEqual, extract, with_tasks
from tatsnet.pruned.folder import SCHEMA, read_folder, write_folder
from tatsnet.pruned.network import ExtractedNetwork, Parts
from tatsnet.system.files import Tensors
from tests.tatsnet.networks import frozen_network


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("shared", [0, 4, 5, 7, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_written_was_proved_from_the_files(tmp_path: Path, shared: int, dtype: torch.dtype) -> None:
    model = frozen_network(shared).to(dtype)
    report = extract(model, tmp_path / "net")
    assert report.difference <= (1e-5 if dtype == torch.float32 else 1e-10)
    parts = read_folder(tmp_path / "net")
    assert report.architecture == parts.architecture == model.architecture(GRID)
    assert report.figures == parts.figures
    assert ExtractedNetwork(parts).dtype == dtype
    patterns = {f"patterns/{index:03d}.safetensors" for index in range(len(parts.architecture.patterns))}
    rest = {"architecture.json", "shared.safetensors", "control.safetensors", "rest.safetensors"}
    assert set(files(tmp_path / "net")) == patterns | rest
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_the_same_network_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        extract(frozen_network(4), tmp_path / name)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = frozen_network(4).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    extract(model, tmp_path / "net")
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_nothing_unsliced_is_left_in_the_parts_that_are_used(tmp_path: Path) -> None:
    report = extract(frozen_network(5, -0.1), tmp_path / "net")
    figures = report.figures
    assert figures["weights_shared"] + figures["weights_specific_mean"] < 0.5 * figures["weights_dense"]
    parts = read_folder(tmp_path / "net")
    first = parts.architecture.patterns[0]
    assert parts.shared["blocks.0.conv1.weight"].shape[:2] == (len(first[2]), len(first[1]))
    assert not any(name.startswith(("head", "blocks.0")) for name in parts.rest)


def test_the_figures_are_the_cost_models(tmp_path: Path) -> None:
    report = extract(frozen_network(4), tmp_path / "net")
    for effects in (1, 27):
        cost = effect_cost(report.architecture, 720, 1280, effects)
        assert report.figures[f"flops_hd_m{effects}"] == cost.per_effect
    assert report.figures["shared_layers_pct"] == pytest.approx(100 * 4 / 9)


def change_shared(parts: Parts) -> Parts:
    return replace(parts, shared=changed(parts.shared, "head.weight"))


def change_last_pattern(parts: Parts) -> Parts:
    return replace(parts, patterns=(*parts.patterns[:-1], changed(parts.patterns[-1], "out.bias")))


def change_scale(parts: Parts) -> Parts:
    return replace(parts, control=changed(parts.control, "global_scale.bias"))


def make_nan(parts: Parts) -> Parts:
    return replace(parts, control={**parts.control, "global_scale.bias": torch.full((3,), torch.nan)})


def swap_patterns(parts: Parts) -> Parts:
    tasks = tuple((task, len(parts.patterns) - 1 - index) for task, index in parts.architecture.tasks)
    return replace(parts, architecture=replace(parts.architecture, tasks=tasks))


def changed(tensors: Tensors, name: str) -> Tensors:
    return {**tensors, name: tensors[name] + 1e-3}


@pytest.mark.parametrize("wrong", [change_shared, change_last_pattern, change_scale, swap_patterns])
@pytest.mark.parametrize("exists", [False, True])
def test_a_network_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Parts], Parts], exists: bool
) -> None:
    folder = tmp_path / "net"
    if exists:
        extract(frozen_network(3), folder)
    before = files(folder)
    monkeypatch.setattr(extraction, "write_folder", lambda path, parts: write_folder(path, wrong(parts)))
    with pytest.raises(NotEqual, match="net is not written"):
        extract(frozen_network(4), folder)
    assert files(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == (["net"] if exists else [])


def test_a_network_without_finite_numbers_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "write_folder", lambda path, parts: write_folder(path, make_nan(parts)))
    with pytest.raises(ValueError, match=r"global_scale\.bias holds numbers that are not finite"):
        extract(frozen_network(4), tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_a_file_that_the_disk_spoils_stops_the_extraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(path: Path, parts: Parts) -> None:
        write_folder(path, parts)
        (path / "shared.safetensors").write_bytes(b"\0" * 100)

    monkeypatch.setattr(extraction, "write_folder", spoil)
    with pytest.raises(ValueError, match=r"shared\.safetensors"):
        extract(frozen_network(4), tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_a_new_network_replaces_the_old_one_whole(tmp_path: Path) -> None:
    many = extract(frozen_network(0), tmp_path / "net")
    one = extract(frozen_network(9), tmp_path / "net")
    assert len(many.architecture.patterns) > len(one.architecture.patterns) == 1
    assert [path.name for path in (tmp_path / "net" / "patterns").iterdir()] == ["000.safetensors"]
    assert read_folder(tmp_path / "net").architecture == one.architecture


def test_a_search_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    model = MaskedNetwork(NetworkConfig(width=8, blocks=2), MethodConfig(), gamma=0.5, sharing=True)
    with pytest.raises(RuntimeError, match="not frozen"):
        extract(model, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match="file"):
        extract(frozen_network(4), tmp_path / "file" / "net")


def test_the_description_is_plain_json(tmp_path: Path) -> None:
    extract(frozen_network(4, min_channels=3), tmp_path / "net")
    spec = json.loads((tmp_path / "net" / "architecture.json").read_text())
    assert spec["schema"] == SCHEMA
    assert spec["method"] == {"min_channels": 3, "prune": True, "group": 1, "tied": False}
    assert len(spec["architecture"]["tasks"]) == 27


@pytest.mark.parametrize("shared", [0, 4, 7, 9])
def test_a_compact_network_with_all_tasks_is_the_whole_one(tmp_path: Path, shared: int) -> None:
    model = frozen_network(shared)
    extract(model, tmp_path / "whole")
    extract(model, tmp_path / "compact", [(0.5, 0.5, 0.5)])
    whole, compact = (read_folder(tmp_path / name) for name in ("whole", "compact"))
    made = with_tasks(compact, GRID)
    assert len(compact.patterns) == 1
    for task, index in whole.architecture.tasks:
        of = made.architecture
        own = made.patterns[dict(of.tasks)[task]]
        assert of.patterns[dict(of.tasks)[task]] == whole.architecture.patterns[index]
        assert own.keys() == whole.patterns[index].keys()
        assert all(torch.equal(own[name], tensor) for name, tensor in whole.patterns[index].items())
