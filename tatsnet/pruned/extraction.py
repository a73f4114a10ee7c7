"""From a masked network to the folder of a physically small one, proved equal before it appears."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tatsnet.data.degradation import GRID
from tatsnet.method.masked import MaskedNetwork
from tatsnet.network.architecture import Architecture, Conv, Role, gather
from tatsnet.network.flops import effect_cost
from tatsnet.network.slicing import slice_section, split
from tatsnet.network.tasks import Task
from tatsnet.pruned.folder import read_folder, write_folder, written_files
from tatsnet.pruned.network import ExtractedNetwork, Parts
from tatsnet.system.files import Tensors
from tatsnet.system.replacing import fresh_folder

TOLERANCE = 1e-5
"""Largest difference between the extracted and the masked network's outputs, on images in [0, 1]."""

PROOF_SIZES = ((24, 32), (29, 37))
"""Height and width of the proof's images: even and odd."""

HD = (720, 1280)


class NotEqual(RuntimeError):
    """An extracted network that does not restore as its masked twin does."""


@dataclass(frozen=True, kw_only=True)
class ExtractionReport:
    """What an extraction has written.

    Attributes:
        folder: where it lies.
        architecture: what was extracted.
        difference: the largest difference from the masked network seen in the proof.
        figures: FLOPs per effect on 1280x720 at M = 1 and 27 and of the dense network, shared layers in %, weights.
    """

    folder: Path
    architecture: Architecture
    difference: float
    figures: dict[str, Any]


def extract(model: MaskedNetwork, folder: Path, tasks: Sequence[Task] | None = None) -> ExtractionReport:
    """Slice a frozen masked network, prove from the files as read back that it restores the same, put it in place.

    A network that already lies in `folder` is replaced at the end, or stays as it was.

    Args:
        model: frozen; left as it is.
        folder: of the extracted network.
        tasks: those whose patterns get a file of their own and are proved; the 27 effects by default.

    Raises:
        RuntimeError: the model is not frozen.
        NotEqual: the largest difference exceeds `TOLERANCE`.
        OSError: the folder cannot be written.
        ValueError: the folder holds something else than a network.
    """
    if not model.is_frozen:
        raise RuntimeError("the architecture is not frozen: call freeze() before it is extracted")
    tasks = GRID if tasks is None else tuple(tasks)
    masked = copy.deepcopy(model).cpu().eval()
    parts = slice_parts(masked, tasks)
    with fresh_folder(folder, written_files) as temporary:
        write_folder(temporary, parts)
        difference = largest_difference(masked, ExtractedNetwork(read_folder(temporary)), [*tasks, *GRID])
        if not difference <= TOLERANCE:  # NaN too
            raise NotEqual(
                f"the extracted network differs from the masked one by {difference:.3g}, more than {TOLERANCE:g}: "
                f"{folder} is not written"
            )
    return ExtractionReport(
        folder=folder, architecture=parts.architecture, difference=difference, figures=dict(parts.figures)
    )


@torch.no_grad()
def slice_parts(masked: MaskedNetwork, tasks: Sequence[Task]) -> Parts:
    """The parts of the extracted network, with the pattern of each task as the masked network finds it alone."""
    by_task = [(task, masked.patterns([task])[0]) for task in tasks]
    network = masked.network
    architecture = gather(network, masked.shared, by_task, masked.method.controller_hidden)
    shared_convs, specific_convs = split(architecture)
    weights = masked.supernet.state_dict()
    parts = Parts(
        architecture=architecture,
        min_channels=masked.method.min_channels,
        prune=masked.method.prune,
        group=masked.method.group,
        tied=masked.method.tied,
        shared=slice_section(weights, network, shared_convs, architecture.patterns[0], shared=True),
        patterns=tuple(
            slice_section(weights, network, specific_convs, pattern, shared=False) for pattern in architecture.patterns
        ),
        control=_control(masked),
        rest=_rest(weights, specific_convs),
        figures={},
    )
    return replace(parts, figures=_figures(parts, sum(weight.numel() for weight in weights.values())))


def with_tasks(parts: Parts, tasks: Sequence[Task]) -> Parts:
    """The same network with a task-specific part ready for each of these tasks too, sliced from its `rest`."""
    network, known = ExtractedNetwork(parts), parts.architecture
    by_task = [(task, network.pattern(task)) for task in dict.fromkeys((*(task for task, _ in known.tasks), *tasks))]
    architecture = gather(known.network, known.shared, by_task, known.controller_hidden)
    _, specific = split(architecture)
    there = dict(zip(known.patterns, parts.patterns, strict=True))
    patterns = tuple(
        there.get(pattern) or slice_section(parts.rest, known.network, specific, pattern, shared=False)
        for pattern in architecture.patterns
    )
    return replace(parts, architecture=architecture, patterns=patterns)


def _control(masked: MaskedNetwork) -> Tensors:
    control = {f"controller.{name}": weight for name, weight in masked.controller.state_dict().items()}
    return control | {f"global_scale.{name}": w for name, w in masked.supernet.global_scale.state_dict().items()}


def _rest(weights: dict[str, Tensor], convs: Sequence[Conv]) -> Tensors:
    names = [f"{conv.name}.{kind}" for conv in convs for kind in ("weight", "bias")]
    rest = {name: weights[name] for name in names}
    if any(conv.role is Role.LEAVE for conv in convs):
        rest |= {name: weights[name] for name in ("local_scale.weight", "local_scale.bias")}
    return rest


def _figures(parts: Parts, dense_weights: int) -> dict[str, Any]:
    costs = {effects: effect_cost(parts.architecture, *HD, effects) for effects in (1, 27)}
    specific = [sum(weight.numel() for weight in part.values()) for part in parts.patterns]
    return {
        "flops_hd_m1": costs[1].per_effect,
        "flops_hd_m27": costs[27].per_effect,
        "flops_hd_dense": costs[1].dense,
        "shared_layers_pct": parts.architecture.shared_percent,
        "weights_shared": sum(weight.numel() for weight in parts.shared.values()),
        "weights_specific_mean": sum(specific) / len(specific),
        "weights_dense": dense_weights,
    }


@torch.inference_mode()
def largest_difference(masked: MaskedNetwork, extracted: ExtractedNetwork, tasks: Sequence[Task]) -> float:
    """Largest absolute difference between both networks' outputs over the tasks, on an even and an odd image.

    Each image is encoded once for all its effects, as in use. Not a number where an output is none.
    """
    generator = torch.Generator().manual_seed(0)
    dtype = extracted.dtype
    differences = []
    for height, width in PROOF_SIZES:
        image = torch.rand(1, 3, height, width, generator=generator, dtype=dtype)
        encoded = extracted.encode(image)
        for task in tasks:
            expected = masked(image, torch.tensor([task], dtype=dtype))
            differences.append((extracted.effect(encoded, task) - expected).abs().max())
    return float(torch.stack(differences).max())
