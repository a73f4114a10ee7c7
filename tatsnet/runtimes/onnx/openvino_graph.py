"""What OpenVINO 2026.4 wants otherwise than a plain graph of a section has it; the numbers stay the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.onnx.graph import SectionGraph
from tatsnet.runtimes.onnx.nodes import Nodes
from tatsnet.runtimes.onnx.section import Output

MOST_CHANNELS = 15
"""Of one result: OpenVINO takes four times as long to bring 16 to 64 into planes as it takes for fewer."""


def adapt(nodes: Nodes, graph: SectionGraph, plan: SectionPlan, outputs: Sequence[Output]) -> list[Output]:
    """Change a section's graph for OpenVINO.

    A convolution of one input is given a twin that weighs nothing: OpenVINO adds its result to another tensor wrongly
    where both have some 25 numbers.
    """
    nodes.twin_single_inputs()
    if graph.taken is not None and _adds_where_it_lies(graph, plan):
        _lay_out(nodes, graph.taken, len(plan.live))
    return [part for output in outputs for part in _in_parts(nodes, output)]


def _adds_where_it_lies(graph: SectionGraph, plan: SectionPlan) -> bool:
    """Whether blocks add their convolutions' results to the whole stream, with no pass for scales in between."""
    ends = [layer for layer in plan.layers if layer.conv.reads_stream or layer.conv.writes_stream]
    return graph.adds_unscaled and all(len(layer.stream) == len(plan.live) for layer in ends)


def _lay_out(nodes: Nodes, stream: str, count: int) -> None:
    """Add a convolution that changes nothing: it leaves the stream as the blocks' convolutions want it in memory.

    Where a block reads, and adds to, what is no convolution's result, OpenVINO rearranges it for either, and then
    copies the stream in every block before it adds to it. Gathers and scatters want it as it is; where scales have a
    pass of their own, that adds, and nothing is copied.
    """
    nodes.insert(stream, "Conv", nodes.weights(torch.ones(count, 1, 1, 1)), kernel_shape=[1, 1], group=count)


def _in_parts(nodes: Nodes, output: Output) -> list[Output]:
    """An output of at most `MOST_CHANNELS`, or several: each a convolution that picks its own channels.

    A convolution leaves them in memory as those before it do.
    """
    count = len(output.channels)
    parts = in_parts(count, MOST_CHANNELS)
    if len(parts) == 1:
        return [output]
    made = []
    for part in parts:
        rows = torch.eye(count)[part.start : part.stop, :, None, None]
        tensor = nodes.add("Conv", output.tensor, nodes.weights(rows), kernel_shape=[1, 1])
        made.append(Output(output.kind, part, tensor))
    return made


def in_parts(count: int, most: int) -> list[range]:
    """Channels in as few runs of about the same length as have at most `most` each."""
    number = -(-count // most)
    return [range(count * i // number, count * (i + 1) // number) for i in range(number)]
