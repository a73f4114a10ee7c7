"""What a network's files must hold: every tensor by its name, shape and precision, finite, and readable as it travels.

Files come from outside: what is wrong in one is told when it is read, not when an effect first needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from tatsnet.network.architecture import Architecture, Conv, Pattern, Role
from tatsnet.network.slicing import split
from tatsnet.network.tasks import AXES
from tatsnet.system.files import Tensors

Shapes = dict[str, tuple[int, ...]]

PRECISIONS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

_KERNEL = (3, 3)
_TASK = len(AXES)


def section_shapes(convs: Sequence[Conv], pattern: Pattern, *, shared: bool) -> Shapes:
    """The tensors of a section as `slice_section` makes them."""
    shapes: Shapes = {}
    for conv in convs:
        inputs, outputs = conv.channels(pattern)
        shapes[f"{conv.name}.weight"], shapes[f"{conv.name}.bias"] = (outputs, inputs, *_KERNEL), (outputs,)
        if conv.role is Role.LEAVE and not shared:
            shapes[f"{conv.name}.scale_weight"], shapes[f"{conv.name}.scale_bias"] = (outputs, _TASK), (outputs,)
    return shapes


def rest_shapes(architecture: Architecture, convs: Sequence[Conv]) -> Shapes:
    """The tensors that any task-specific section is sliced from."""
    shapes: Shapes = {}
    for conv in convs:
        shapes[f"{conv.name}.weight"] = (conv.outputs, conv.inputs, *_KERNEL)
        shapes[f"{conv.name}.bias"] = (conv.outputs,)
    if any(conv.role is Role.LEAVE for conv in convs):
        rows = architecture.network.blocks * architecture.network.width
        shapes["local_scale.weight"], shapes["local_scale.bias"] = (rows, _TASK), (rows,)
    return shapes


def control_shapes(architecture: Architecture) -> Shapes:
    """The tensors of the controller and of the global scale."""
    hidden = architecture.controller_hidden
    sizes = (_TASK, hidden, hidden, architecture.network.points * architecture.network.width)
    shapes: Shapes = {"global_scale.weight": (3, _TASK), "global_scale.bias": (3,)}
    for layer in range(3):
        shapes[f"controller.layers.{2 * layer}.weight"] = (sizes[layer + 1], sizes[layer])
        shapes[f"controller.layers.{2 * layer}.bias"] = (sizes[layer + 1],)
    return shapes


def check_tensors(tensors: Mapping[str, torch.Tensor], expected: Shapes, dtype: torch.dtype) -> None:
    """Hold tensors against what they must be.

    Raises:
        ValueError: one is missing, of another shape or precision, not finite, or not expected at all.
    """
    for name, shape in expected.items():
        if name not in tensors:
            raise ValueError(f"it lacks the tensor {name}")
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(f"its tensor {name} has the shape {tuple(tensor.shape)}, the architecture {shape}")
        if tensor.dtype != dtype:
            raise ValueError(f"its tensor {name} is {tensor.dtype}, the network {dtype}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"its tensor {name} holds numbers that are not finite")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise ValueError(f"it holds a tensor {unknown[0]!r} that the architecture does not have")


def precision(control: Tensors) -> torch.dtype:
    """Of the weights, as the global scale has it.

    Raises:
        ValueError: it is missing, or of a kind that no network has.
    """
    if "global_scale.weight" not in control:
        raise ValueError("it lacks the tensor global_scale.weight")
    dtype = control["global_scale.weight"].dtype
    if dtype not in PRECISIONS:
        raise ValueError(f"its tensor global_scale.weight is {dtype}, not floating-point")
    return dtype


def check_readable(architecture: Architecture) -> None:
    """Every channel of the skip stream that a convolution reads has been written before.

    Raises:
        ValueError: one has not; in which pattern, at which selection point.
    """
    convs = [conv for part in split(architecture) for conv in part]
    for index, pattern in enumerate(architecture.patterns):
        written: set[int] = set()
        for conv in convs:
            if conv.reads_stream and conv.fan_in is not None and not set(pattern[conv.fan_in]) <= written:
                raise ValueError(f"pattern {index}, point {conv.fan_in}: reads a channel that nothing has written")
            if conv.fan_out is not None and conv.writes_stream:
                written |= set(pattern[conv.fan_out])
