"""An extracted network as ONNX files that need nothing of this project: one for the shared part, one per pattern.

shared.onnx        image -> stream, hidden: what the patterns' files go on from; none where nothing is shared
pattern_NNN.onnx   image, task, stream, hidden -> restored
tasks.json         which file serves which task vector; what each file reads and makes; the levels of even sliders at
                   their positions 0, 0.1, ... 1

An image is 1 x 3 x H x W, RGB in [0, 1], of any height and width from 1; `restored` is the same, clipped to [0, 1].
Padding to even sizes, the global scale, the addition to the image and cropping are inside.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tatsnet.network.architecture import Pattern
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import split, travelling
from tatsnet.network.tasks import LEVELS
from tatsnet.pruned.network import Parts
from tatsnet.runtimes.onnx.graph import SectionGraph
from tatsnet.runtimes.onnx.nodes import Nodes, Sides
from tatsnet.runtimes.onnx.section import FULL, HALF, input_sides
from tatsnet.system.files import Tensors
from tatsnet.system.json_files import read_json
from tatsnet.system.replacing import fresh_folder

TASKS = "tasks.json"


def export(parts: Parts, folder: Path) -> None:
    """Write a network's ONNX files; an older export that is there is replaced at the end, or stays as it was.

    Raises:
        ValueError: weights that are not float32, or a folder that holds something else than an export.
        OSError: the folder cannot be written.
    """
    if parts.dtype != torch.float32:
        raise ValueError(f"only float32 networks can be exported, this one is {parts.dtype}")
    architecture = parts.architecture
    with fresh_folder(folder, exported_files) as temporary:
        shared = _write_shared(parts, temporary)
        patterns = [
            _write_pattern(parts, pattern, tensors, temporary / f"pattern_{index:03d}.onnx")
            for index, (pattern, tensors) in enumerate(zip(architecture.patterns, parts.patterns, strict=True))
        ]
        tasks = [{"task": list(task), "pattern": index} for task, index in architecture.tasks]
        spec = {"shared": shared, "patterns": patterns, "tasks": tasks, "sliders": parts.sliders.to_json()}
        (temporary / TASKS).write_text(f"{json.dumps(spec, indent=1)}\n", encoding="utf-8")


def exported_files(folder: Path) -> list[str]:
    """The files that an export made in a folder, as its `tasks.json` names them; none where there is no export."""
    try:
        spec = read_json(folder / TASKS)
        if not {"shared", "patterns", "tasks"} <= set(spec) <= {"shared", "patterns", "tasks", "sliders"}:
            return []
        return [TASKS, *(str(part["file"]) for part in (*spec["shared"], *spec["patterns"]))]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _write_shared(parts: Parts, folder: Path) -> list[dict[str, Any]]:
    """The shared part's file, or none where it makes nothing that a pattern's file could go on from."""
    convs, _ = split(parts.architecture)
    pattern = parts.architecture.patterns[0]
    nodes = Nodes()
    plan = plan_section(convs, pattern)
    graph = SectionGraph(nodes, plan, parts.shared, _padded(nodes))
    channels = {"stream": plan.stream_out, "hidden": plan.hidden_out}
    size = FULL if plan.full else HALF
    made = {"stream": graph.stream, "hidden": graph.hidden}
    outputs: dict[str, tuple[str, Sides]] = {
        name: (own, (1, channels[name], *size)) for name, own in made.items() if own is not None
    }
    if not outputs:
        return []
    return [_write(nodes, folder / "shared.onnx", {"image": (1, 3, *FULL)}, outputs)]


def _write_pattern(parts: Parts, pattern: Pattern, tensors: Tensors, path: Path) -> dict[str, Any]:
    shared, convs = split(parts.architecture)
    incoming = travelling(shared, pattern)
    hidden = plan_section(shared, pattern).hidden_out
    plan = plan_section(convs, pattern, incoming)
    nodes = Nodes()
    image = "image" if incoming or hidden else _padded(nodes)
    graph = SectionGraph(nodes, plan, tensors, image)
    weight, bias = (nodes.weights(parts.control[f"global_scale.{kind}"]) for kind in ("weight", "bias"))
    scale = nodes.add("Add", nodes.add("MatMul", weight, "task"), bias)
    if parts.architecture.network.zero_task == "identity":
        steps = nodes.add("Mul", "task", nodes.weights(torch.tensor(LEVELS, dtype=parts.dtype)))
        most = nodes.add("ReduceMax", steps, nodes.integers(0), keepdims=1)
        scale = nodes.add("Mul", scale, nodes.add("Min", most, nodes.weights(torch.ones((), dtype=parts.dtype))))
    scale = nodes.add("Reshape", scale, nodes.integers(1, -1, 1, 1))
    residual = nodes.add("Mul", graph.hidden if convs and graph.hidden else "hidden", scale)
    size = nodes.add("Shape", "image", start=2)
    residual = nodes.add("Slice", residual, nodes.integers(0, 0), size, nodes.integers(2, 3))
    low, high = (nodes.weights(torch.tensor(level)) for level in (0.0, 1.0))
    restored = nodes.add("Clip", nodes.add("Add", "image", residual), low, high)
    sides = input_sides(plan)
    if not convs:
        sides["hidden"] = (1, hidden, *FULL)
    inputs = {name: side for name, side in sides.items() if nodes.reads(name)}
    return _write(nodes, path, inputs, {"restored": (restored, (1, 3, *FULL))})


def _padded(nodes: Nodes) -> str:
    """The image padded to even sizes as `pad_even` does: one more row and column, by reflection where there are two."""
    padded = "image"
    for axis in (2, 3):
        size = nodes.add("Gather", nodes.add("Shape", "image"), nodes.scalar(axis))
        end = nodes.add("Add", size, nodes.add("Mod", size, nodes.scalar(2)))
        last = nodes.add("Sub", size, nodes.scalar(1))
        beyond = nodes.add("Sub", nodes.add("Range", nodes.scalar(0), end, nodes.scalar(1)), last)
        mirrored = nodes.add("Sub", last, nodes.add("Abs", beyond))
        padded = nodes.add("Gather", padded, nodes.add("Max", mirrored, nodes.scalar(0)), axis=axis)
    return padded


def _write(nodes: Nodes, path: Path, inputs: dict[str, Sides], outputs: dict[str, tuple[str, Sides]]) -> dict[str, Any]:
    path.write_bytes(nodes.model(path.stem, inputs, outputs))
    return {"file": path.name, "inputs": list(inputs), "outputs": list(outputs)}
