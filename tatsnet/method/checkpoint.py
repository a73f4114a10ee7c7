"""A super network or a masked network as one safetensors file: weights, buffers, and the configuration as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tatsnet.method.masked import MaskedNetwork
from tatsnet.method.settings import MethodConfig
from tatsnet.network.architecture import ZERO_TASK_BEFORE, NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.system.files import Tensors, pack
from tatsnet.system.replacing import write_atomically

T = TypeVar("T")

VERSION = 1
KEY = "tatsnet"
"""The entry of the safetensors metadata that holds the configuration; every other entry is the caller's."""

ADVICE = "delete it and run again the stage that writes it (dvc repro)"


def save_dense(path: Path, network: SuperNetwork, extra: Mapping[str, str] | None = None) -> None:
    """Write a dense super network; the file appears whole or not at all.

    Args:
        extra: the caller's own notes, kept as they are; `read_extra` gives them back.

    Raises:
        ValueError: a note under the reserved name.
        OSError: the file cannot be written.
    """
    _save(path, network, "dense", {"network": dataclasses.asdict(network.config)}, extra or {})


def load_dense(path: Path) -> SuperNetwork:
    """Read what `save_dense` wrote, onto the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, or not a dense super network of this version.
    """
    config, tensors = _read(path, "dense")
    with torch.device("meta"):
        network = SuperNetwork(_network(path, config.get("network")))
    _fill(path, network, tensors)
    return network


def save_masked(
    path: Path, model: MaskedNetwork, *, gamma: float, sharing: bool, meta: Mapping[str, str] | None = None
) -> None:
    """Write a masked network, frozen or not, with everything its search has gathered.

    Args:
        gamma, sharing: as the model was made with.
        meta: the caller's own notes, kept as they are; `read_extra` gives them back.

    Raises:
        ValueError: a note under the reserved name.
        OSError: the file cannot be written.
    """
    config = {
        "network": dataclasses.asdict(model.network),
        "method": dataclasses.asdict(model.method),
        "gamma": gamma,
        "sharing": sharing,
    }
    _save(path, model, "masked", config, meta or {})


def load_masked(path: Path) -> MaskedNetwork:
    """Read what `save_masked` wrote, onto the CPU; a frozen architecture stays frozen.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, or not a masked network of this version.
    """
    config, tensors = _read(path, "masked")
    network = _network(path, config.get("network"))
    method = _make(path, MethodConfig, config.get("method"))
    gamma, sharing = config.get("gamma"), config.get("sharing")
    if not isinstance(gamma, int | float) or not isinstance(sharing, bool):
        raise ValueError(f"{path} lacks gamma or sharing in its configuration: {ADVICE}")
    with torch.device("meta"):
        model = MaskedNetwork(network, method, gamma=float(gamma), sharing=sharing)
    _fill(path, model, tensors)
    model.controller.requires_grad_(not bool(model.is_frozen))
    return model


def read_extra(path: Path) -> dict[str, str]:
    """The caller's notes in a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, or not a checkpoint of this project.
    """
    metadata, _ = _open(path, weights=False)
    return {name: text for name, text in metadata.items() if name != KEY}


def _save(path: Path, module: nn.Module, kind: str, config: Mapping[str, Any], extra: Mapping[str, str]) -> None:
    if KEY in extra:
        raise ValueError(f"a checkpoint's own notes cannot be named {KEY!r}: that entry holds the configuration")
    head = json.dumps({"version": VERSION, "kind": kind, **config}, allow_nan=False)
    write_atomically(path, pack(module.state_dict(), {**extra, KEY: head}))


def _read(path: Path, kind: str) -> tuple[dict[str, Any], Tensors]:
    metadata, tensors = _open(path, weights=True)
    try:
        config = json.loads(metadata[KEY])
        found = (config["version"], config["kind"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} has a configuration that cannot be read ({error!r}): {ADVICE}") from error
    if found != (VERSION, kind):
        raise ValueError(f"{path} holds a {found[1]} network of version {found[0]}, not a {kind} one of {VERSION}")
    return config, tensors


def _open(path: Path, *, weights: bool) -> tuple[dict[str, str], Tensors]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}: run the stage that writes it (dvc repro)")
    try:
        with safe_open(path, "pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys() if weights}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}): {ADVICE}") from error
    if KEY not in metadata:
        raise ValueError(f"{path} is a safetensors file, but no checkpoint of this project: {ADVICE}")
    return metadata, tensors


def _network(path: Path, values: object) -> NetworkConfig:
    return _make(path, NetworkConfig, {"zero_task": ZERO_TASK_BEFORE, **values} if isinstance(values, dict) else values)


def _make(path: Path, kind: type[T], values: object) -> T:
    try:
        return kind(**values)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} has a configuration that is not valid ({error}): {ADVICE}") from error


def _fill(path: Path, module: nn.Module, tensors: Tensors) -> None:
    try:
        module.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights that its configuration names: {ADVICE}") from error
    for name, weight in module.named_parameters():
        if not weight.is_floating_point() or not bool(torch.isfinite(weight).all()):
            raise ValueError(f"{path} holds weights in {name} that are not finite floating-point numbers: {ADVICE}")
