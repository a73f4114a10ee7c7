"""A section's graph has no more nodes than its pattern needs."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest

from tatsnet.network.architecture import Pattern, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, travelling
from tatsnet.runtimes.onnx.openvino_graph import adapt
from tatsnet.runtimes.onnx.section import Adapt, GraphSection, Run
from tests.tatsnet.networks import TINY, frozen_network

ALL, TIED, FEW = tuple(range(8)), (1, 2, 5, 6), (2, 5)


def tied(stream: tuple[int, ...], own: tuple[int, ...]) -> Pattern:
    """One set of the skip stream's channels in the head and the first block, one in the second block and the tail."""
    return (stream, stream, (0, 3), stream, own, (1, 7), own, own, (4, 5))


def operators(
    pattern: Pattern, cut: int, part: int, *, shared: bool = False, adapt: Adapt | None = None
) -> Counter[str]:
    """How many nodes of each kind the section before (0) or after (1) a cut has."""
    convs, weights = convolutions(TINY), frozen_network(0).supernet.state_dict()
    section = (convs[:cut], convs[cut:])[part]
    incoming = travelling(convs[:cut], pattern) if part else ()
    models: list[bytes] = []

    def load(model: bytes) -> Run:
        models.append(model)
        return lambda inputs, outputs: None

    tensors = slice_section(weights, TINY, section, pattern, shared=shared)
    own = {} if adapt is None else {"adapt": adapt}
    GraphSection(plan_section(section, pattern, incoming), tensors, load, **own)
    return Counter(node.op_type for node in onnx.load_from_string(models[0]).graph.node)


def test_a_tied_shared_part_is_plain_convolutions() -> None:
    nodes = operators(tied(TIED, FEW), 3, 0, shared=True)
    assert nodes == {"Sub": 1, "Conv": 3, "Relu": 1, "Add": 1, "Identity": 1}


def test_a_tied_pattern_takes_its_channels_once() -> None:
    nodes = operators(tied(TIED, FEW), 3, 1)
    scale = Counter({"Reshape": 1, "Conv": 1, "Mul": 1})
    assert nodes == scale + Counter({"Gather": 1, "Conv": 5, "Relu": 2, "Add": 1, "DepthToSpace": 2, "Identity": 1})


@pytest.mark.parametrize("cut", [3, 5])
def test_all_channels_need_no_choice_of_them(cut: int) -> None:
    nodes = operators((ALL,) * 9, cut, 1)
    assert not {"Gather", "ScatterND", "Pad", "Expand"} & set(nodes)


def test_the_scale_of_each_block_is_a_convolution_of_the_task() -> None:
    nodes = operators(tied(TIED, FEW), 0, 1)
    assert (nodes["Reshape"], nodes["Mul"], nodes["MatMul"]) == (1, 2, 0)
    assert nodes["Conv"] == 1 + 4 + 2 + 3, "head, two blocks, their scales, tail and up and out"


def test_untied_channels_are_gathered_and_scattered() -> None:
    pattern: Pattern = ((0, 1, 5), (1, 5), (0, 3), (2, 5), (0, 2), (1, 7), (1, 6), (0, 1, 2, 6), (3,))
    nodes = operators(pattern, 0, 1)
    assert nodes["ScatterND"] == 2
    assert nodes["Gather"] >= 2


@pytest.mark.parametrize(
    ("own", "fixed", "laid_out"), [(ALL, True, 1), (ALL, False, 0), ((0, 1), True, 0), ((0, 1), False, 0)]
)
def test_a_stream_that_is_taken_whole_and_added_to_by_convolutions_is_laid_out(
    own: tuple[int, ...], fixed: bool, laid_out: int
) -> None:
    """Gathers and scatters would have to undo it; with a pass for the scales there is nothing to gain."""
    pattern = (ALL, ALL, (0, 3), ALL, own, (1, 7), ALL, ALL, (4, 5))
    plain, adapted = (operators(pattern, 3, 1, shared=fixed, adapt=own) for own in (None, adapt))
    scales = 0 if fixed else 1
    assert plain["Conv"] == 2 + scales + 3, "a block, its scale, tail and up and out"
    assert adapted["Conv"] == plain["Conv"] + laid_out


def test_only_openvino_reads_a_single_channel_twice() -> None:
    pattern = (ALL, ALL, (3,), ALL, ALL, (1, 7), ALL, ALL, (4, 5))
    assert [operators(pattern, 0, 1, adapt=own)["Concat"] for own in (None, adapt)] == [0, 1]
