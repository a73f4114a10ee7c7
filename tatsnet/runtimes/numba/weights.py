"""A section's weights as the loops read them: those of all convolutions one after the other.

Shapes: O a convolution's kept outputs, I its kept inputs, C colours, K side of the kernel, S residual scales,
D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import SectionPlan
from tatsnet.network.tasks import AXES
from tatsnet.runtimes.numba import loops

KERNEL = 9


class Place(NamedTuple):
    """Where a convolution's weights and bias begin, and its channels."""

    weight: int
    bias: int
    outputs: int
    inputs: int


def places(plan: SectionPlan) -> dict[str, Place]:
    """Of each layer of a section, by its name."""
    made, begin = {}, 0
    for layer in plan.layers:
        inputs = layer.inputs * (4 if layer.role is Role.HEAD else 1)
        padded = layer.outputs + -layer.outputs % loops.OUTPUTS
        bias = begin + padded * inputs * KERNEL
        made[layer.name] = Place(begin, bias, layer.outputs, inputs)
        begin = bias + padded
    return made


def packed(plan: SectionPlan, tensors: Mapping[str, Tensor]) -> loops.Floats:
    """The weights of a section, at their `places`.

    Raises:
        KeyError, RuntimeError: weights that are missing, or of another shape.
    """
    made = [np.zeros(0, np.float32)]
    where = places(plan)
    for layer in plan.layers:
        name, place = layer.name, where[layer.name]
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        if layer.role is Role.HEAD:
            weight = _unshuffled(weight)
        if weight.shape != (place.outputs, place.inputs, 3, 3) or bias.shape != (place.outputs,):
            raise RuntimeError(
                f"{name} makes {place.outputs} channels of {place.inputs}: weights of shape {tuple(weight.shape)} and "
                f"a bias of {tuple(bias.shape)} do not fit"
            )
        made += [_in_tiles(weight), _padded(bias)]
    return np.concatenate(made)


class Scaled:
    """The packed weights of a section whose residual scales follow the task; equal to packing `with_scales`.

    Packing takes a tenth of an effect's time, so it is done once: a task's weights are those times the scale of the
    output that each belongs to.

    Args:
        plan: of the section.
        tensors: its weights and residual scales.
    """

    def __init__(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> None:
        slope_SD, offset_S = [torch.zeros(1, len(AXES))], [torch.ones(1)]  # scale 0 is 1: the task leaves it alone
        owner: dict[str, Tensor] = {}
        for layer in plan.layers:
            name = layer.name
            weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
            own = torch.zeros_like(bias)
            if f"{name}.scale_weight" in tensors:
                own += torch.arange(len(bias)) + sum(map(len, offset_S))
                slope_SD.append(tensors[f"{name}.scale_weight"])
                offset_S.append(tensors[f"{name}.scale_bias"])
            owner[f"{name}.weight"] = own[:, None, None, None].expand_as(weight)
            owner[f"{name}.bias"] = own
        self._slope_SD, self._offset_S = torch.cat(slope_SD), torch.cat(offset_S)
        self._unscaled, self._owner = packed(plan, tensors), packed(plan, owner).astype(np.int32)

    def __call__(self, task_D: Tensor) -> loops.Floats:
        """The weights of one task."""
        scale_S = self._slope_SD @ task_D.to(self._slope_SD) + self._offset_S
        scales: loops.Floats = scale_S.numpy()[self._owner]
        return self._unscaled * scales


def _in_tiles(weight_OIKK: Tensor) -> loops.Floats:
    """By tile of outputs, input, row and column, output.

    NumPy copies in this thread alone: PyTorch's threads would wait for cores that are busy.
    """
    padded = _padded(weight_OIKK)
    tiles = padded.reshape(len(padded) // loops.OUTPUTS, loops.OUTPUTS, padded.shape[1], KERNEL)
    return tiles.transpose(0, 2, 3, 1).ravel()


def _padded(rows: Tensor) -> loops.Floats:
    padded = np.zeros((len(rows) + -len(rows) % loops.OUTPUTS, *rows.shape[1:]), np.float32)
    padded[: len(rows)] = rows.numpy()
    return padded


def _unshuffled(weight_OCKK: Tensor) -> Tensor:
    """A 3x3 kernel of stride 2 as one of stride 1 over the image after `F.pixel_unshuffle` of 2: O x 4C x 3 x 3."""
    outputs, colours = weight_OCKK.shape[:2]
    made = weight_OCKK.new_zeros(outputs, colours, 2, 2, 3, 3)
    steps = {0: (1, 0), 1: (0, 1), 2: (1, 1)}
    for row, (below, new_row) in steps.items():
        for column, (right, new_column) in steps.items():
            made[:, :, below, right, new_row, new_column] = weight_OCKK[:, :, row, column]
    return made.flatten(1, 3)
