"""Which weights of the super network an extracted section holds, and which skip channels travel through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tatsnet.network.architecture import Architecture, Channels, Conv, NetworkConfig, Pattern, Role, convolutions
from tatsnet.network.supernet import MEAN_TASK
from tatsnet.network.tasks import AXES
from tatsnet.system.files import Tensors


def split(architecture: Architecture) -> tuple[tuple[Conv, ...], tuple[Conv, ...]]:
    """The convolutions of the task-agnostic part and of a task-specific part, each first to last."""
    convs = convolutions(architecture.network)
    shared = tuple(conv for conv in convs if conv.shared_from <= architecture.shared)
    return shared, convs[len(shared) :]


def travelling(convs: Sequence[Conv], pattern: Pattern, incoming: Channels = ()) -> Channels:
    """The skip stream's channels in the order in which they travel through a section: every one that was written.

    Incoming channels come first, then the head's, then those that a block writes first.
    """
    order = dict.fromkeys(incoming)
    for conv in convs:
        if conv.fan_out is not None and conv.writes_stream:
            order.update(dict.fromkeys(pattern[conv.fan_out]))
    return tuple(order)


def used_channels(convs: Sequence[Conv], pattern: Pattern) -> frozenset[int]:
    """The skip stream's channels that a section reads or writes."""
    points = {conv.fan_out for conv in convs if conv.writes_stream}
    points |= {conv.fan_in for conv in convs if conv.reads_stream}
    return frozenset(channel for point in points if point is not None for channel in pattern[point])


def slice_section(
    weights: Mapping[str, Tensor], network: NetworkConfig, convs: Sequence[Conv], pattern: Pattern, *, shared: bool
) -> Tensors:
    """The weights of a section: of each convolution the kept outputs' rows and the kept inputs' columns.

    Args:
        weights: by their names in the super network's state, every channel there.
        shared: True puts the residual scales, fixed at the mean task, into the weights; False puts the kept rows of
            their linear layer beside a block's second convolution, as `scale_weight` and `scale_bias`.
    """
    section: Tensors = {}
    for conv in convs:
        weight, bias = weights[f"{conv.name}.weight"], weights[f"{conv.name}.bias"]
        if conv.fan_in is not None:
            weight = weight[:, _index(pattern[conv.fan_in], weight)]
        if conv.fan_out is not None:
            rows = _index(pattern[conv.fan_out], weight)
            weight, bias = weight[rows], bias[rows]
            if conv.role is Role.LEAVE:
                rows = rows + (conv.fan_out // 3 - 1) * network.width
                section[f"{conv.name}.scale_weight"] = weights["local_scale.weight"][rows]
                section[f"{conv.name}.scale_bias"] = weights["local_scale.bias"][rows]
        section[f"{conv.name}.weight"], section[f"{conv.name}.bias"] = weight, bias
    return with_scales(section, (MEAN_TASK,) * len(AXES)) if shared else section


def with_scales(section: Mapping[str, Tensor], task: Sequence[float]) -> Tensors:
    """A section's weights for one task only: the residual scales are in the blocks' second convolutions."""
    fixed = {name: tensor for name, tensor in section.items() if ".scale_" not in name}
    for name, scale_weight_OD in section.items():
        conv, kind = name.rsplit(".", 1)
        if kind == "scale_weight":
            scale_O = scale_weight_OD @ scale_weight_OD.new_tensor(task) + section[f"{conv}.scale_bias"]
            fixed[f"{conv}.weight"] = section[f"{conv}.weight"] * scale_O[:, None, None, None]
            fixed[f"{conv}.bias"] = section[f"{conv}.bias"] * scale_O
    return fixed


def _index(channels: Channels, like: Tensor) -> Tensor:
    return torch.tensor(channels, dtype=torch.int64, device=like.device)
