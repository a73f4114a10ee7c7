"""What comes from outside is checked whole when it is loaded, and by every command alike."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tatsnet.cli import main
from tatsnet.data.degradation import GRID
from tatsnet.pruned.extraction import extract, slice_parts
from tatsnet.pruned.folder import SPEC, _digest, read_folder, write_folder
from tatsnet.system.files import pack, sha256, unpack
from tatsnet.system.json_files import read_json
from tests.tatsnet.networks import DEAD, HALF, OPEN, SPARSE, TINY, frozen_network

KNOWN = GRID[::13]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extract(frozen_network(4), tmp_path_factory.mktemp("nets") / "net", KNOWN).folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    for path in whole.rglob("*"):
        if path.is_file():
            target = tmp_path / "net" / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "net"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the description and sign it anew: as somebody would who makes such files."""
    spec = json.loads((folder / SPEC).read_text())
    del spec["sha256"]
    change(spec)
    (folder / SPEC).write_text(json.dumps({**spec, "sha256": _digest(spec)}))


def put(folder: Path, name: str, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change a file's tensors and sign them anew."""
    tensors = unpack((folder / name).read_bytes(), folder / name, "")
    change(tensors)
    data = pack(tensors)
    (folder / name).write_bytes(data)
    rewrite(folder, lambda spec: spec["files"].update({name: {"bytes": len(data), "sha256": sha256(data)}}))


@pytest.mark.parametrize("preference", [DEAD, SPARSE, HALF, OPEN])
@pytest.mark.parametrize("shared", range(TINY.points + 1))
def test_what_an_extraction_writes_is_read(shared: int, preference: float, tmp_path: Path) -> None:
    for model in (frozen_network(shared, preference), frozen_network(shared, preference, tied=True, group=4)):
        parts = slice_parts(model, KNOWN)
        path = tmp_path / str(model.method.tied)
        path.mkdir()
        write_folder(path, parts)
        assert read_folder(path).architecture == parts.architecture


FILES = ["shared.safetensors", "patterns/000.safetensors", "control.safetensors", "rest.safetensors"]


def first(tensors: dict[str, Tensor]) -> str:
    return next(name for name in sorted(tensors) if tensors[name].numel())


TENSOR_FAULTS: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "missing": (lambda t: t.pop(first(t)), "lacks the tensor"),
    "more": (lambda t: t.update(extra=torch.zeros(2)), "tensor 'extra' that the architecture does not have"),
    "one row too many": (lambda t: t.update({first(t): torch.cat([t[first(t)]] * 2)}), "has the shape"),
    "flat": (lambda t: t.update({first(t): t[first(t)].flatten()[:, None, None, None, None]}), "has the shape"),
    "empty": (lambda t: t.update({first(t): torch.zeros(0)}), "has the shape"),
    "whole numbers": (lambda t: t.update({first(t): t[first(t)].to(torch.int64)}), "is torch.int64"),
    "another precision": (lambda t: t.update({first(t): t[first(t)].double()}), "is torch.float64"),
    "not a number": (lambda t: t[first(t)].flatten()[:1].fill_(math.nan), "not finite"),
    "infinite": (lambda t: t[first(t)].flatten()[-1:].fill_(-math.inf), "not finite"),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", TENSOR_FAULTS)
def test_every_tensor_is_checked(name: str, file: str, folder: Path) -> None:
    change, message = TENSOR_FAULTS[name]
    put(folder, file, change)
    with pytest.raises(ValueError, match=message) as caught:
        read_folder(folder)
    assert file in str(caught.value)


def set_in(*keys: str | int, to: object) -> Callable[[dict[str, Any]], object]:
    def change(spec: dict[str, Any]) -> None:
        place: Any = spec
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = copy.deepcopy(to)

    return change


KINDS: list[object] = [None, True, -1, 1.5, "1", [], {}, [[]], {"a": {}}, 2**70, "x" * 100, [None], [1.0]]
PLACES: list[tuple[str | int, ...]] = [
    ("architecture",),
    ("architecture", "network"),
    ("architecture", "network", "width"),
    ("architecture", "network", "blocks"),
    ("architecture", "network", "zero_task"),
    ("architecture", "shared"),
    ("architecture", "controller_hidden"),
    ("architecture", "patterns"),
    ("architecture", "patterns", 0),
    ("architecture", "patterns", 0, 0),
    ("architecture", "patterns", 0, 0, 0),
    ("architecture", "tasks"),
    ("architecture", "tasks", 0),
    ("architecture", "tasks", 0, "task"),
    ("architecture", "tasks", 0, "task", 0),
    ("architecture", "tasks", 0, "pattern"),
    ("method",),
    ("method", "min_channels"),
    ("method", "group"),
    ("method", "prune"),
    ("method", "tied"),
    ("files",),
    ("files", "shared.safetensors"),
    ("files", "shared.safetensors", "bytes"),
    ("files", "shared.safetensors", "sha256"),
    ("schema",),
]
SOUND = {
    (("method", "prune"), True),
    (("method", "tied"), True),
}
"""Values that a description may have."""


@pytest.mark.parametrize("keys", PLACES)
def test_every_value_of_the_description_is_checked(keys: tuple[str | int, ...], folder: Path) -> None:
    before = (folder / SPEC).read_text()
    for value in KINDS:
        if any(keys == sound and value is allowed for sound, allowed in SOUND):
            continue
        (folder / SPEC).write_text(before)
        rewrite(folder, set_in(*keys, to=value))
        with pytest.raises(ValueError) as caught:
            read_folder(folder)
        assert len(str(caught.value)) < 1000, f"{keys} = {value!r}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        '"x"',
        "{",
        "[" * 200_000,
        '{"schema": ' * 50_000,
        '{"schema": NaN}',
        '{"schema": 1, "sha256": Infinity}',
        "\ufeff{}",
        "9" * 5000,
    ],
)
def test_a_description_that_is_no_object_is_refused(text: str, folder: Path) -> None:
    (folder / SPEC).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="not the description of an extracted network"):
        read_folder(folder)


@pytest.mark.parametrize("data", [b"\xff\xfe{}", b"\0" * 100, b'{"a": "\xff"}'])
def test_a_description_that_is_no_text_is_refused(data: bytes, folder: Path) -> None:
    (folder / SPEC).write_bytes(data)
    with pytest.raises(ValueError, match="not the description"):
        read_folder(folder)


def test_a_pattern_that_reads_what_nothing_writes_is_refused(folder: Path) -> None:
    def change(spec: dict[str, Any]) -> None:
        for pattern in spec["architecture"]["patterns"]:
            pattern[0] = pattern[0][1:]

    rewrite(folder, change)
    with pytest.raises(ValueError, match=r"reads a channel that nothing has written|has the shape"):
        read_folder(folder)


@pytest.mark.parametrize("name", ["shared.safetensors", SPEC])
def test_a_file_of_another_size_is_not_read(name: str, folder: Path) -> None:
    """Four TB of zeros: reading them would end this test otherwise."""
    with (folder / name).open("r+b") as file:
        file.truncate(2**42)
    with pytest.raises(ValueError, match=r"4398046511104 bytes instead of|more than 64 MiB"):
        read_folder(folder)


def test_json_of_a_bounded_size_and_depth(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, "x", null]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, "x", None]}


@pytest.mark.parametrize("command", ["restore", "effects", "export", "flops", "bench"])
@pytest.mark.parametrize("fault", ["not a number", "one row too many", "missing", "description"])
def test_every_command_is_as_strict(
    command: str, fault: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    if fault == "description":
        rewrite(folder, set_in("architecture", "tasks", 0, "pattern", to=1.5))
    else:
        put(folder, "rest.safetensors", TENSOR_FAULTS[fault][0])
    arguments = {
        "restore": ["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--model", str(folder)],
        "effects": ["effects", str(tmp_path / "a.png"), "-o", str(tmp_path / "e"), "--model", str(folder)],
        "export": ["export", str(folder), "-o", str(tmp_path / "onnx")],
        "flops": ["flops", "--model", str(folder)],
        "bench": ["bench", "--quick", "--model", str(folder)],
    }[command]
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert str(folder) in printed.err
    assert {path.name for path in tmp_path.iterdir()} <= {"a.png", "net"}


@pytest.mark.parametrize("option", ["--model", "--pattern"])
def test_figures_never_replace_the_network_that_they_are_of(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / SPEC).read_bytes()
    given = folder if option == "--model" else folder / SPEC
    assert main(["bench", "--quick", option, str(given), "--json", str(folder / SPEC)]) == 2
    assert "a file of the network itself" in capsys.readouterr().err
    assert (folder / SPEC).read_bytes() == before
