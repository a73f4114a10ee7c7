"""A section that a runtime of ONNX graphs runs: what of the state it reads, and where its results go.

Shapes: B batch, C channels, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tatsnet.architecture import Channels, Conv, Pattern
from tatsnet.runtimes.graph import SectionGraph
from tatsnet.runtimes.nodes import Nodes, Sides
from tatsnet.slicing import travelling, writes_stream
from tatsnet.steps import State

Run = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], None]
"""Reads contiguous inputs by name, fills contiguous outputs by name. May be called by several threads at once."""

HALF = ("half_height", "half_width")
FULL = ("height", "width")
AFTER = {"stream": "stream_after", "hidden": "hidden_after"}
"""Names of the results; those of what is read are the state's."""


class GraphSection:
    """One section, run image by image; made by `compile` of ONNX Runtime and of OpenVINO.

    Args:
        convs, pattern, incoming, tensors: as of `Section`; from the head on, or up to the last convolution.
        load: makes a model's bytes ready to run.

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
        outputs = {
            AFTER[name]: (own, (1, self._channels[name], *(FULL if self._full else HALF)))
            for name, own in made.items()
            if own is not None
        }
        self._made = [name for name, own in made.items() if own is not None]
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
                self._run(inputs, {AFTER[name]: made[name][one : one + 1] for name in self._made})
        if self._keeps_stream:
            return State(image, state.stream_BCHW, made["hidden"], state.owned)
        return State(image, made["stream"], made["hidden"], True)


def input_sides(convs: Sequence[Conv], pattern: Pattern, incoming: Channels) -> dict[str, Sides]:
    """The sizes of all that a section may read."""
    first = convs[0] if convs else None
    hidden: Sides = (1, 0, *HALF)
    if first is not None and first.name == "up":
        hidden = (1, first.inputs, *FULL)
    elif first is not None and writes_stream(first) and first.fan_in is not None:
        hidden = (1, len(pattern[first.fan_in]), *HALF)
    return {"image": (1, 3, *FULL), "stream": (1, len(incoming), *HALF), "hidden": hidden, "task": (3,)}


def channels_after(convs: Sequence[Conv], pattern: Pattern, incoming: Channels) -> tuple[dict[str, int], bool]:
    """How many channels stream and hidden have after a section, and whether they are at full resolution then."""
    stream = len(travelling(convs, pattern, incoming))
    last = convs[-1] if convs else None
    if last is None or writes_stream(last):
        return {"stream": stream, "hidden": 0}, False
    if last.name == "tail":
        return {"stream": 0, "hidden": last.outputs // 4}, True
    hidden = last.outputs if last.fan_out is None else len(pattern[last.fan_out])
    full = last.name in ("up", "out")
    return {"stream": 0 if full else stream, "hidden": hidden}, full
