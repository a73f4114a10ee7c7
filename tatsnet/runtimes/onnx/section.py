"""A section that a runtime of ONNX graphs runs: what of the state it reads, and where its results go.

Shapes: B batch, C channels, H height, W width, D degradation types (3).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.network.slicing import travelling
from tatsnet.runtimes.onnx.graph import SectionGraph
from tatsnet.runtimes.onnx.nodes import Nodes, Sides
from tatsnet.runtimes.torch.layers import State

Run = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], None]
"""Reads contiguous inputs by name, fills contiguous outputs by name. May be called by several threads at once."""

HALF = ("half_height", "half_width")
FULL = ("height", "width")


class GraphSection:
    """One section, run image by image; made by `compile` of ONNX Runtime and of OpenVINO.

    Args:
        convs, pattern, incoming, tensors: as of `Section`; from the head on, or up to the last convolution.
        load: makes a model's bytes ready to run.
        most: channels that a result may have; one of more comes in several, each by a convolution that picks its own.

    Raises:
        ValueError: weights that are not float32.
    """

    def __init__(
        self,
        convs: Sequence[Conv],
        pattern: Pattern,
        incoming: Channels,
        tensors: Mapping[str, Tensor],
        load: Callable[[bytes], Run],
        most: int = sys.maxsize,
    ) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tensor.dtype}: this runtime takes float32 only")
        sides = input_sides(convs, pattern, incoming)
        nodes = Nodes()
        self._is_empty = not convs
        graph = SectionGraph(nodes, convs, pattern, incoming, tensors)
        self._keeps_stream = graph.stream == "stream"
        self._channels, self._full = channels_after(convs, pattern, incoming)
        made = {"stream": None if self._keeps_stream else graph.stream, "hidden": graph.hidden}
        self._made: dict[str, tuple[str, slice]] = {}
        outputs: dict[str, tuple[str, Sides]] = {}
        for name, own in made.items():
            if own is not None:
                for part in in_parts(self._channels[name], most):
                    seen = f"{name}_after_{part.start}"
                    self._made[seen] = name, slice(part.start, part.stop)
                    channels = only(nodes, own, part, self._channels[name])
                    outputs[seen] = channels, (1, len(part), *(FULL if self._full else HALF))
        self._inputs = {name: size for name, size in sides.items() if nodes.reads(name)}
        self._run = load(nodes.model("section", self._inputs, outputs)) if outputs else None

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions."""
        if self._is_empty:
            return state
        image = state.image_BCHW
        batch, _, height, width = image.shape
        size = (height, width) if self._full else (height // 2, width // 2)
        made = {name: image.new_empty((batch, count, *size)) for name, count in self._channels.items()}
        if self._run is not None:
            given = {"image": image, "stream": state.stream_BCHW, "hidden": state.hidden_BCHW, "task": task_D[None]}
            read = {name: given[name].contiguous() for name in self._inputs}
            for one in range(batch):
                inputs = {name: tensor[0] if name == "task" else tensor[one : one + 1] for name, tensor in read.items()}
                outputs = {seen: made[name][one : one + 1, part] for seen, (name, part) in self._made.items()}
                self._run(inputs, outputs)
        if self._keeps_stream:
            return State(image, state.stream_BCHW, made["hidden"], state.owned)
        return State(image, made["stream"], made["hidden"], True)


def in_parts(count: int, most: int) -> list[range]:
    """So many channels as few runs of about the same length, of at most so many each."""
    number = -(-count // most)
    return [range(count * i // number, count * (i + 1) // number) for i in range(number)]


def only(nodes: Nodes, tensor: str, part: range, count: int) -> str:
    """A part of a tensor's channels: by a convolution, which leaves them in memory as those before it do."""
    if len(part) == count:
        return tensor
    rows = torch.eye(count)[part.start : part.stop, :, None, None]
    return nodes.add("Conv", tensor, nodes.weights(rows), kernel_shape=[1, 1])


def input_sides(convs: Sequence[Conv], pattern: Pattern, incoming: Channels) -> dict[str, Sides]:
    """The sizes of all that a section may read."""
    first = convs[0] if convs else None
    hidden: Sides = (1, 0, *HALF)
    if first is not None and first.role is Role.UP:
        hidden = (1, first.inputs, *FULL)
    elif first is not None and first.writes_stream and first.fan_in is not None:
        hidden = (1, len(pattern[first.fan_in]), *HALF)
    return {"image": (1, 3, *FULL), "stream": (1, len(incoming), *HALF), "hidden": hidden, "task": (3,)}


def channels_after(convs: Sequence[Conv], pattern: Pattern, incoming: Channels) -> tuple[dict[str, int], bool]:
    """How many channels stream and hidden have after a section, and whether they are at full resolution then."""
    stream = len(travelling(convs, pattern, incoming))
    last = convs[-1] if convs else None
    if last is None or last.writes_stream:
        return {"stream": stream, "hidden": 0}, False
    if last.role is Role.TAIL:
        return {"stream": 0, "hidden": last.outputs // 4}, True
    hidden = last.outputs if last.fan_out is None else len(pattern[last.fan_out])
    full = last.role in (Role.UP, Role.OUT)
    return {"stream": 0 if full else stream, "hidden": hidden}, full
