"""Which weights of the super network an extracted section holds, and which skip channels travel through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tatsnet.architecture import Architecture, Channels, Conv, NetworkConfig, Pattern, convolutions
from tatsnet.files import Tensors
from tatsnet.supernet import MEAN_TASK


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
        if conv.fan_out is not None and writes_stream(conv):
            order.update(dict.fromkeys(pattern[conv.fan_out]))
    return tuple(order)


def used_channels(convs: Sequence[Conv], pattern: Pattern) -> frozenset[int]:
    """The skip stream's channels that a section reads or writes."""
    points = {conv.fan_out for conv in convs if writes_stream(conv)}
    points |= {conv.fan_in for conv in convs if conv.name == "tail" or conv.name.endswith("conv1")}
    return frozenset(channel for point in points if point is not None for channel in pattern[point])


def writes_stream(conv: Conv) -> bool:
    """Whether a convolution's output is added to the skip stream: the head and each block's second."""
    return conv.name == "head" or conv.name.endswith("conv2")


def slice_section(
    weights: Mapping[str, Tensor], network: NetworkConfig, convs: Sequence[Conv], pattern: Pattern, *, shared: bool
) -> Tensors:
    """The weights of a section: of each convolution the kept outputs' rows and the kept inputs' columns.

    Args:
        weights: by their names in the super network's state, every channel there.
        shared: True folds the residual scale, fixed at the mean task, into a block's second convolution; False puts
            the kept rows of the scale's linear layer beside it, as `scale_weight` and `scale_bias`.
    """
    section: Tensors = {}
    for conv in convs:
        weight, bias = weights[f"{conv.name}.weight"], weights[f"{conv.name}.bias"]
        if conv.fan_in is not None:
            weight = weight[:, _index(pattern[conv.fan_in], weight)]
        if conv.fan_out is not None:
            rows = _index(pattern[conv.fan_out], weight)
            weight, bias = weight[rows], bias[rows]
            if conv.name.endswith("conv2"):
                rows = rows + (conv.fan_out // 3 - 1) * network.width
                scale_weight, scale_bias = weights["local_scale.weight"][rows], weights["local_scale.bias"][rows]
                if shared:
                    scale = scale_weight.sum(1) * MEAN_TASK + scale_bias
                    weight, bias = weight * scale[:, None, None, None], bias * scale
                else:
                    section[f"{conv.name}.scale_weight"] = scale_weight
                    section[f"{conv.name}.scale_bias"] = scale_bias
        section[f"{conv.name}.weight"], section[f"{conv.name}.bias"] = weight, bias
    return section


def _index(channels: Channels, like: Tensor) -> Tensor:
    return torch.tensor(channels, dtype=torch.int64, device=like.device)
