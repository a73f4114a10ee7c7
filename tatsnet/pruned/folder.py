"""The folder of an extracted network: which files it has, and that they are what was written.

architecture.json        schema, architecture, method, figures, and every other file's size and sha256
shared.safetensors       the task-agnostic part, sliced, residual scales folded in
patterns/NNN.safetensors one task-specific part per gate pattern, sliced
control.safetensors      the controller and the global scale
rest.safetensors         what the task-specific part of any other gate pattern is sliced from
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tatsnet.method.settings import GateRule
from tatsnet.network.architecture import Architecture
from tatsnet.pruned.network import Parts
from tatsnet.system.files import Tensors, pack, sha256, unpack

SCHEMA = 1
SPEC = "architecture.json"
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
        "figures": dict(parts.figures),
        "files": files,
    }
    text = json.dumps({**spec, "sha256": _digest(spec)}, indent=1, allow_nan=False)
    (folder / SPEC).write_text(f"{text}\n", encoding="utf-8")


def written_files(folder: Path) -> list[str]:
    """The files of a network in a folder, as its description names them; none where there is no network."""
    try:
        spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        return [SPEC, *(str(name) for name in spec["files"])]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
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
        rule = GateRule(**spec["method"])
        files, figures = dict(spec["files"]), dict(spec["figures"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): {ADVICE}") from error
    patterns = range(len(architecture.patterns))
    return Parts(
        architecture=architecture,
        min_channels=rule.min_channels,
        prune=rule.prune,
        group=rule.group,
        tied=rule.tied,
        shared=_read_tensors(folder, "shared.safetensors", files),
        patterns=tuple(_read_tensors(folder, _pattern_file(index), files) for index in patterns),
        control=_read_tensors(folder, "control.safetensors", files),
        rest=_read_tensors(folder, "rest.safetensors", files),
        figures=figures,
    )


def _pattern_file(index: int) -> str:
    return f"patterns/{index:03d}.safetensors"


def _read_spec(folder: Path) -> dict[str, Any]:
    path = folder / SPEC
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: give the folder of an extracted network")
    if not path.is_file():
        raise ValueError(f"{folder} is not the folder of an extracted network (it has no {SPEC}): give another one")
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
        schema, digest = spec["schema"], spec.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the description of an extracted network ({error!r}): {ADVICE}") from error
    if schema != SCHEMA:
        raise ValueError(f"{path} has schema {schema!r}, this version reads {SCHEMA}: {ADVICE}")
    if digest != _digest(spec):
        raise ValueError(f"{path} has been changed since it was written: {ADVICE}")
    return dict(spec)


def _digest(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _read_tensors(folder: Path, name: str, files: Mapping[str, Any]) -> Tensors:
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): {ADVICE}") from error
    expected = files.get(name, {})
    if len(data) != expected.get("bytes"):
        raise ValueError(f"{path} has {len(data)} bytes instead of {expected.get('bytes')}: {ADVICE}")
    if sha256(data) != expected.get("sha256"):
        raise ValueError(f"{path} has been changed since it was written: {ADVICE}")
    return unpack(data, path, ADVICE)
