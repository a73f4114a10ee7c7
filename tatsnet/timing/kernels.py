"""Which kernels of the runtime `triton` a network calls, and what they move and multiply by design; nothing is run.

Networks are laid out on PyTorch's meta device: sizes without memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.flops import even
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, split, travelling
from tatsnet.network.supernet import SuperNetwork
from tatsnet.pruned.network import Parts
from tatsnet.runtimes.torch.layers import State, start
from tatsnet.runtimes.triton.calls import Call
from tatsnet.runtimes.triton.section import FusedSection

META = torch.device("meta")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a GPU has to do, per effect or call.

    Attributes:
        bytes_once: moved when every kernel reads its inputs once and writes its outputs once: if a cache holds the
            edges of tiles until the next tile has read them.
        bytes_tiles: moved when every tile reads all that lies around it: if it holds nothing from tile to tile.
        flops: of products, padding and the edges of tiles included.
    """

    bytes_once: float = 0
    bytes_tiles: float = 0
    flops: float = 0

    def __add__(self, other: Load) -> Load:
        return Load(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})


def dense_calls(network: NetworkConfig, height: int, width: int, precision: torch.dtype) -> list[Call]:
    """The calls for an effect of the super network."""
    convs, every = convolutions(network), network.whole
    with META:
        weights = SuperNetwork(network).state_dict()
    tensors = slice_section(weights, network, convs, every, shared=False)
    calls: list[Call] = []
    section = FusedSection(plan_section(convs, every), tensors, META, precision, calls.append)
    section(_start(height, width), torch.empty(3, device=META))
    return calls


def found_calls(
    parts: Parts, height: int, width: int, precision: torch.dtype
) -> tuple[list[Call], tuple[list[Call], ...]]:
    """The calls for the task-agnostic part, and for the task-specific part of each pattern."""
    architecture, task_D = parts.architecture, torch.empty(3, device=META)
    shared, specific = split(architecture)
    first = architecture.patterns[0]
    once: list[Call] = []
    section = FusedSection(plan_section(shared, first), parts.shared, META, precision, once.append)
    state = section(_start(height, width), task_D)._replace(owned=False)
    each: list[list[Call]] = []
    for pattern, tensors in zip(architecture.patterns, parts.patterns, strict=True):
        each.append([])
        incoming = travelling(shared, first)
        FusedSection(plan_section(specific, pattern, incoming), tensors, META, precision, each[-1].append)(
            state, task_D
        )
    return once, tuple(each)


def total(calls: Sequence[Call]) -> Load:
    """Of calls together."""
    return sum((call_load(call) for call in calls), Load())


def call_load(call: Call) -> Load:
    """Of a call. Weights are small beside what passes through them and not counted."""
    images, height, width = call.size
    constants, stride = call.constants, int(call.constants.get("STRIDE", 1))
    pixels, tiles = images * height * width, math.prod(call.grid(call.tile))
    written = pixels * constants["O"] * (_itemsize(call, "target") + _itemsize(call, "skip"))
    channels = constants["I"] * _itemsize(call, "source")
    around = math.prod(stride * (side - 1) + 3 for side in (call.tile.height, call.tile.width))
    outputs = constants["BLOCK_O"]
    products = constants["I_PADDED"] * outputs
    if call.kernel == "pair":
        products = (constants["I_PADDED"] + outputs) * constants["BLOCK_M"]
    return Load(
        bytes_once=pixels * stride**2 * channels + written,
        bytes_tiles=tiles * around * channels + written,
        flops=2 * 9 * tiles * call.tile.height * call.tile.width * products,
    )


def _itemsize(call: Call, name: str) -> int:
    tensor = call.arguments.get(name)
    return tensor.itemsize if isinstance(tensor, Tensor) else 0


def _start(height: int, width: int) -> State:
    return start(torch.empty(1, 3, even(height), even(width), device=META))
