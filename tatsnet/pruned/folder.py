"""The folder of an extracted network: which files it has, and that they are what was written.

architecture.json        schema, architecture, method, sliders, figures, and every other file's size and sha256
shared.safetensors       the task-agnostic part, sliced, residual scales folded in
patterns/NNN.safetensors one task-specific part per gate pattern, sliced
control.safetensors      the controller and the global scale
rest.safetensors         what the task-specific part of any other gate pattern is sliced from
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tatsnet.method.settings import GateRule
from tatsnet.network.architecture import Architecture, whole_number
from tatsnet.network.slicing import split
from tatsnet.network.sliders import PLAIN, Sliders
from tatsnet.pruned.checks import (
    Shapes,
    check_readable,
    check_tensors,
    control_shapes,
    precision,
    rest_shapes,
    section_shapes,
)
from tatsnet.pruned.network import Parts
from tatsnet.system.files import Tensors, pack, sha256, unpack
from tatsnet.system.json_files import read_json
from tatsnet.system.memory import check_memory
from tatsnet.system.replacing import write_atomically

T = TypeVar("T")

SCHEMA = 2
"""1 had no sliders."""

SPEC = "architecture.json"
CONTROL = "control.safetensors"
ADVICE = "extract the network again (dvc repro extract) or copy its folder again"


def write_folder(folder: Path, parts: Parts) -> None:
    """Write a network into an empty folder; not atomic, for use inside `fresh_folder`.

    Raises:
        OSError: a file cannot be written.
    """
    tensors = {"shared.safetensors": parts.shared, "control.safetensors": parts.control, "rest.safetensors": parts.rest}
    tensors |= {_pattern_file(index): part for index, part in enumerate(parts.patterns)}
    files = {}
    (folder / "patterns").mkdir()
    for name, part in tensors.items():
        data = pack(part)
        (folder / name).write_bytes(data)
        files[name] = {"bytes": len(data), "sha256": sha256(data)}
    spec = {
        "schema": SCHEMA,
        "architecture": parts.architecture.to_json(),
        "method": dataclasses.asdict(parts.rule),
        "sliders": parts.sliders.to_json(),
        "figures": dict(parts.figures),
        "files": files,
    }
    (folder / SPEC).write_text(_sealed(spec), encoding="utf-8")


def set_sliders(folder: Path, sliders: Sliders) -> None:
    """Give a network's folder these sliders in place of those that it has; the rest stays as it is.

    Raises:
        FileNotFoundError, ValueError: as of `read_folder`, of the description alone.
        OSError: it cannot be written.
    """
    spec = {**_read_spec(folder), "schema": SCHEMA, "sliders": sliders.to_json()}
    write_atomically(folder / SPEC, _sealed(spec).encode())


def written_files(folder: Path) -> list[str]:
    """The files of a network in a folder, as its description names them; none where there is no network."""
    try:
        return [SPEC, *(str(name) for name in read_json(folder / SPEC)["files"])]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def read_folder(folder: Path) -> Parts:
    """Read a network and check every file against its sha256.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: not a network's folder, another schema, or a file that is missing, cut short or changed.
    """
    spec = _read_spec(folder)
    path = folder / SPEC
    try:
        architecture = Architecture.from_json(spec["architecture"])
        check_readable(architecture)
        rule = _rule(spec["method"], architecture)
        sliders = Sliders.from_json(spec["sliders"]) if spec["schema"] > 1 else PLAIN
        files, figures = _files(spec["files"]), dict(spec["figures"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): {ADVICE}") from error
    shared, specific = split(architecture)
    control = _read_tensors(folder, CONTROL, files)
    dtype = _checked(folder / CONTROL, lambda: precision(control))

    def read(name: str, shapes: Shapes) -> Tensors:
        tensors = control if name == CONTROL else _read_tensors(folder, name, files)
        _checked(folder / name, lambda: check_tensors(tensors, shapes, dtype))
        return tensors

    return Parts(
        architecture=architecture,
        min_channels=rule.min_channels,
        prune=rule.prune,
        group=rule.group,
        tied=rule.tied,
        shared=read("shared.safetensors", section_shapes(shared, architecture.patterns[0], shared=True)),
        patterns=tuple(
            read(_pattern_file(index), section_shapes(specific, pattern, shared=False))
            for index, pattern in enumerate(architecture.patterns)
        ),
        control=read(CONTROL, control_shapes(architecture)),
        rest=read("rest.safetensors", rest_shapes(architecture, specific)),
        figures=figures,
        sliders=sliders,
    )


def _checked(path: Path, check: Callable[[], T]) -> T:
    try:
        return check()
    except ValueError as error:
        raise ValueError(f"{path} is no part of this network: {error}; {ADVICE}") from error


def _rule(method: Any, architecture: Architecture) -> GateRule:
    """The rule of the gates, of the kinds that its fields have.

    Raises:
        ValueError, TypeError: a field that is missing, unknown, of another kind or out of its range.
    """
    kinds = {"min_channels": int, "prune": bool, "group": int, "tied": bool}
    wrong = [name for name, kind in kinds.items() if name in method and type(method[name]) is not kind]
    if wrong:
        raise ValueError(f"{wrong[0]} must be a {kinds[wrong[0]].__name__}, got {method[wrong[0]]!r:.40}")
    missing = [name for name in ("min_channels", "prune") if name not in method]
    if missing:
        raise ValueError(f"method lacks {missing[0]}")
    rule = GateRule(**method)
    width = architecture.network.width
    if rule.min_channels > width or width % rule.group:
        raise ValueError(f"min_channels {rule.min_channels} or group {rule.group} does not fit the width {width}")
    return rule


def _files(files: Any) -> dict[str, tuple[int, str]]:
    """Size and sha256 of each file.

    Raises:
        ValueError, TypeError, KeyError: an entry of another kind.
    """
    return {name: (whole_number("bytes", entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}


def _pattern_file(index: int) -> str:
    return f"patterns/{index:03d}.safetensors"


def _read_spec(folder: Path) -> dict[str, Any]:
    path = folder / SPEC
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give the folder of an extracted network")
    if not path.is_file():
        raise ValueError(f"{folder} is not the folder of an extracted network (it has no {SPEC}): give another one")
    try:
        spec = read_json(path)
        schema, digest = spec["schema"], spec.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the description of an extracted network ({error!r}): {ADVICE}") from error
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise ValueError(f"{path} has schema {schema!r:.40}, this version reads 1 to {SCHEMA}: {ADVICE}")
    if digest != _digest(spec):
        raise ValueError(f"{path} has been changed since it was written: {ADVICE}")
    return dict(spec)


def _sealed(spec: Mapping[str, Any]) -> str:
    return json.dumps({**spec, "sha256": _digest(spec)}, indent=1, allow_nan=False) + "\n"


def _digest(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _read_tensors(folder: Path, name: str, files: Mapping[str, tuple[int, str]]) -> Tensors:
    path = folder / name
    if name not in files:
        raise ValueError(f"{folder / SPEC} names no {name}: {ADVICE}")
    expected, digest = files[name]
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != expected:
                raise ValueError(f"{path} has {found} bytes instead of {expected}: {ADVICE}")
            check_memory(expected, str(path))
            data = file.read(expected)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): {ADVICE}") from error
    if len(data) != expected or sha256(data) != digest:
        raise ValueError(f"{path} has been changed since it was written: {ADVICE}")
    return unpack(data, path, ADVICE)
