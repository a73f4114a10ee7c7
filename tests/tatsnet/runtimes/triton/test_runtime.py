"""What the runtime of our own kernels does beside the contract: fewer calls, lower precision between, recordings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tatsnet.network.architecture import Pattern, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, travelling
from tatsnet.runtimes.torch.layers import State, start
from tatsnet.runtimes.torch.section import Section
from tatsnet.runtimes.triton.calls import Call
from tatsnet.runtimes.triton.runtime import TritonRuntime
from tatsnet.runtimes.triton.section import FusedSection
from tests.tatsnet.networks import TINY, frozen_network

ALL, TIED, FEW = tuple(range(8)), (1, 2, 5, 6), (2, 5)
TASK = torch.tensor([0.2, 0.9, 0.4])
PATTERN: Pattern = (TIED, TIED, (0, 3), TIED, FEW, (1, 7), FEW, FEW, (4, 5))
"""One set of the skip stream's channels in the head and the first block, one in the second block and the tail."""


def calls_of(pattern: Pattern, cut: int, part: int, precision: torch.dtype = torch.float32) -> list[Call]:
    """What the section before (0) or after (1) a cut launches, on no device at all."""
    convs, weights = convolutions(TINY), frozen_network(0).supernet.state_dict()
    calls: list[Call] = []
    state, incoming = start(torch.empty(1, 3, 8, 8, device="meta")), ()
    for index, section in enumerate((convs[:cut], convs[cut:])):
        tensors = slice_section(weights, TINY, section, pattern, shared=index == 0)
        made: list[Call] = []
        fused = FusedSection(
            plan_section(section, pattern, incoming), tensors, torch.device("meta"), precision, made.append
        )
        state = fused(state, TASK.to("meta"))
        incoming = travelling(convs[:cut], pattern)
        calls = made if index == part else calls
    return calls


def test_a_tied_section_is_a_call_per_block_and_takes_its_channels_on_the_way() -> None:
    calls = calls_of(PATTERN, 3, 1)
    assert [call.kernel for call in calls] == ["pair", "convolution", "pair"]
    assert [call.arguments["take"] is None for call in calls] == [False, True, True]
    assert [call.constants["IN"] for call in calls] == [4, 2, 2]


def test_untied_channels_take_a_call_per_convolution() -> None:
    pattern: Pattern = ((0, 1, 5), (1, 5), (0, 3), (2, 5), (0, 2), (1, 7), (1, 6), (0, 1, 2, 6), (3,))
    assert [call.kernel for call in calls_of(pattern, 0, 1)] == ["convolution"] * 6 + ["pair"]


def test_a_block_that_writes_nothing_is_not_computed() -> None:
    pattern: Pattern = (TIED, TIED, (0, 3), (), TIED, (1, 7), TIED, TIED, (4, 5))
    assert [call.kernel for call in calls_of(pattern, 0, 1)] == ["convolution", "pair", "convolution", "pair"]


def test_the_stream_between_sections_keeps_the_precision() -> None:
    assert {call.arguments["target"].dtype for call in calls_of(PATTERN, 3, 0, torch.bfloat16)} == {torch.bfloat16}
    assert {call.arguments["source"].dtype for call in calls_of(PATTERN, 3, 1, torch.bfloat16)} == {torch.bfloat16}


def test_precisions_that_the_kernels_do_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not torch\.float64"):
        TritonRuntime("cpu", torch.float64).compile(plan_section((), PATTERN), {})


def run_again(work: Callable[[], State]) -> tuple[State, Callable[[], None]]:
    """Does on a CPU what a CUDA graph does: computes anew from the same memory into the same memory."""
    made = work()

    def replay() -> None:
        for old, new in zip(made[:3], work()[:3], strict=True):
            old.copy_(new)

    return made, replay


def test_recorded_sections_answer_what_is_asked_and_leave_the_shared_stream_alone() -> None:
    runtime = TritonRuntime("cpu", recorder=lambda: run_again)
    convs, weights = convolutions(TINY), frozen_network(0).supernet.state_dict()
    shared, rest = convs[:3], convs[3:]
    incoming = travelling(shared, PATTERN)
    tensors = [slice_section(weights, TINY, part, PATTERN, shared=part is shared) for part in (shared, rest)]
    plans = plan_section(shared, PATTERN), plan_section(rest, PATTERN, incoming)
    own = runtime.compile(plans[0], tensors[0]), runtime.compile(plans[1], tensors[1])
    right = Section(plans[0], tensors[0]), Section(plans[1], tensors[1])
    with torch.inference_mode():
        images = [torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
        streams = [own[0](start(image), TASK)._replace(owned=False) for image in images]
        before = [stream.stream_BCHW.clone() for stream in streams]
        for index, task in [(0, TASK), (1, TASK), (0, 1 - TASK)]:
            made = own[1](streams[index], task).hidden_BCHW
            wanted = right[1](right[0](start(images[index]), TASK), task).hidden_BCHW
            assert torch.allclose(made, wanted, atol=1e-5)
        assert all(torch.equal(a, b.stream_BCHW) for a, b in zip(before, streams, strict=True))
