"""A section that a runtime of ONNX graphs runs: what of the state it reads, and where its results go.

Shapes: B batch, C channels, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import SectionPlan
from tatsnet.network.tasks import AXES
from tatsnet.runtimes.onnx.graph import SectionGraph
from tatsnet.runtimes.onnx.nodes import Nodes, Sides
from tatsnet.runtimes.torch.layers import State

Run = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], None]
"""Reads contiguous inputs by name, fills contiguous outputs by name. May be called by several threads at once."""

HALF = ("half_height", "half_width")
FULL = ("height", "width")


class Output(NamedTuple):
    """What a graph makes: some channels of the stream or of the hidden tensor, under the name it has in the graph."""

    kind: str
    channels: range
    tensor: str


Adapt = Callable[[Nodes, SectionGraph, SectionPlan, Sequence[Output]], list[Output]]
"""Changes a finished graph as one runtime wants it; gives the outputs that it has then."""


class GraphSection:
    """One section, run image by image; made by `compile` of ONNX Runtime and of OpenVINO.

    Args:
        plan, tensors: as of `Section`; from the head on, or up to the last convolution.
        load: makes a model's bytes ready to run.
        adapt: changes the graph for that.

    Raises:
        ValueError: weights that are not float32.
    """

    def __init__(
        self,
        plan: SectionPlan,
        tensors: Mapping[str, Tensor],
        load: Callable[[bytes], Run],
        adapt: Adapt = lambda nodes, graph, plan, outputs: list(outputs),
    ) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise ValueError(f"{name} is {tensor.dtype}: this runtime takes float32 only")
        nodes = Nodes()
        self._is_empty, self._full = not plan.convs, plan.full
        graph = SectionGraph(nodes, plan, tensors)
        self._keeps_stream = graph.stream == "stream"
        self._channels = {"stream": plan.stream_out, "hidden": plan.hidden_out}
        made = {"stream": None if self._keeps_stream else graph.stream, "hidden": graph.hidden}
        whole = [Output(kind, range(self._channels[kind]), own) for kind, own in made.items() if own is not None]
        self._made = {f"{own.kind}_after_{own.channels.start}": own for own in adapt(nodes, graph, plan, whole)}
        size = FULL if plan.full else HALF
        outputs = {seen: (own.tensor, (1, len(own.channels), *size)) for seen, own in self._made.items()}
        self._inputs = {name: sides for name, sides in input_sides(plan).items() if nodes.reads(name)}
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
                outputs = {
                    seen: made[own.kind][one : one + 1, own.channels.start : own.channels.stop]
                    for seen, own in self._made.items()
                }
                self._run(inputs, outputs)
        if self._keeps_stream:
            return State(image, state.stream_BCHW, made["hidden"], state.owned)
        return State(image, made["stream"], made["hidden"], True)


def input_sides(plan: SectionPlan) -> dict[str, Sides]:
    """The sizes of all that a section may read."""
    full = bool(plan.layers) and plan.layers[0].role in (Role.UP, Role.OUT)
    hidden = (1, plan.hidden_in, *(FULL if full else HALF))
    return {"image": (1, 3, *FULL), "stream": (1, plan.incoming, *HALF), "hidden": hidden, "task": (len(AXES),)}
