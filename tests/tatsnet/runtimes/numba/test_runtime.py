"""Sections run row by row: however the rows and the blocks are shared out, in whatever tiles."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread, main_thread
from threading import enumerate as enumerate_threads
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, with_scales
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes.numba import loops, runtime
from tatsnet.runtimes.numba.cuts import CACHE, Blocks, blocks_of
from tatsnet.runtimes.numba.program import Program, programs
from tatsnet.runtimes.numba.runtime import ROWS, NumbaRuntime
from tatsnet.runtimes.numba.sized import Sized, sized
from tatsnet.runtimes.numba.weights import Scaled, packed
from tatsnet.runtimes.torch.layers import State, start
from tatsnet.runtimes.torch.section import Section
from tests.tatsnet.networks import TINY, frozen_network, random_tasks

WIDTHS = sorted({2, 2 * loops.LANES, *(2 * loops.LANES * n + 2 for n in range(1, 2 * loops.WIDE + 2))})
DENSE = TINY.whole


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def dense(changed: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    tensors = slice_section(frozen_network(0).supernet.state_dict(), TINY, convolutions(TINY), DENSE, shared=True)
    return {**tensors, **(changed or {})}


def hidden(runtime: NumbaRuntime, picture: Tensor) -> Tensor:
    section = runtime.compile(plan_section(convolutions(TINY), DENSE), dense())
    return section(start(picture), torch.zeros(3)).hidden_BCHW


@torch.inference_mode()
def right(picture: Tensor) -> Tensor:
    return Section(plan_section(convolutions(TINY), DENSE), dense())(start(picture), torch.zeros(3)).hidden_BCHW


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_every_number_of_vectors(width: int) -> None:
    picture = image(6, width)
    torch.testing.assert_close(hidden(NumbaRuntime(1), picture), right(picture), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("height", [4 * ROWS, 6 * ROWS + 2, 8 * ROWS - 2])
@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("blocks", [1, 2])
def test_threads_and_parts_leave_no_seam(
    monkeypatch: pytest.MonkeyPatch, height: int, threads: int, blocks: int
) -> None:
    monkeypatch.setattr(Blocks, "together", lambda *given: blocks)
    picture = image(height, 20)
    torch.testing.assert_close(hidden(NumbaRuntime(threads), picture), right(picture), rtol=1e-5, atol=1e-5)


def test_threads_and_parts_change_no_number() -> None:
    """A photo comes out the same on any machine with the same vectors."""
    model = frozen_network(4, network=NetworkConfig(width=12, blocks=5))
    picture, task = image(90, 46), random_tasks(1)[0]
    made = []
    for threads in (1, 2, 4):
        network = ExtractedNetwork(slice_parts(model, [task]), runtime=NumbaRuntime(threads))
        made.append(network.effect(network.encode(picture), task))
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


@pytest.mark.parametrize("width", WIDTHS[::4])
def test_what_was_in_memory_before_is_of_no_account(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(runtime, "_room", lambda numbers: np.full(numbers, np.nan, np.float32))
    picture = image(4 * ROWS, width)
    torch.testing.assert_close(hidden(NumbaRuntime(2), picture), right(picture), rtol=1e-5, atol=1e-5)


def test_several_photos_at_a_time_take_turns() -> None:
    shared, pictures = NumbaRuntime(3), [image(4 * ROWS + 2 * index, 20) for index in range(6)]
    section = shared.compile(plan_section(convolutions(TINY), DENSE), dense())
    with ThreadPoolExecutor(6) as callers:
        made = list(callers.map(lambda picture: section(start(picture), torch.zeros(3)).hidden_BCHW, pictures * 4))
    for own, picture in zip(made, pictures * 4, strict=True):
        torch.testing.assert_close(own, right(picture), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fails", ["caller", "other"])
def test_nobody_waits_for_a_thread_that_failed(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    sweep = runtime._sweep

    def faulty(own: Sized, *given: Any) -> None:
        if (current_thread() is main_thread()) == (fails == "caller"):
            raise ValueError("lost")
        sweep(own, *given)

    monkeypatch.setattr(runtime, "_sweep", faulty)
    monkeypatch.setattr(Blocks, "together", lambda *given: 1)
    with pytest.raises(ValueError, match="lost"):
        hidden(NumbaRuntime(2), image(6 * ROWS, 20))


def test_threads_end_with_their_runtime() -> None:
    before = set(enumerate_threads())
    shared = NumbaRuntime(3)
    hidden(shared, image(4 * ROWS, 20))
    ours = set(enumerate_threads()) - before
    assert len(ours) == 2
    del shared
    gc.collect()
    for thread in ours:
        thread.join(10)
    assert not any(thread.is_alive() for thread in ours)


def test_positions_that_are_no_known_tasks_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counted(part: Program, *size: int) -> Sized:
        sizes.append(size)
        return sized(part, *size)

    monkeypatch.setattr(runtime, "sized", counted)
    network = ExtractedNetwork(slice_parts(frozen_network(4), random_tasks(1)), runtime=NumbaRuntime(1))
    encoded, (one, other) = network.encode(image(20, 20)), ((0.4, 0.5, 0.6), (0.4001, 0.5, 0.6))
    assert network.pattern(one) == network.pattern(other)
    made = [network.effect(encoded, one)]
    planned = len(sizes)
    made.append(network.effect(encoded, other))
    assert len(sizes) == planned
    assert not torch.equal(*made)


def test_weights_that_follow_the_task_are_those_that_hold_its_scales() -> None:
    convs, pattern = convolutions(TINY)[2:], (tuple(range(0, 8, 2)),) * TINY.points
    plan = plan_section(convs, pattern, tuple(range(8)))
    tensors = slice_section(frozen_network(0).supernet.state_dict(), TINY, convs, pattern, shared=False)
    scaled = Scaled(plan, tensors)
    for task in random_tasks(3):
        expected = packed(plan, with_scales(tensors, task))
        np.testing.assert_allclose(scaled(torch.tensor(task, dtype=torch.float32)), expected, rtol=1e-6, atol=1e-9)


def test_memory_does_not_grow_with_the_height() -> None:
    (whole,) = programs(plan_section(convolutions(TINY), DENSE), sys.maxsize)
    rooms = {sized(whole, height, 64, 0, height).room for height in (100, 1000, 10_000)}
    assert len(rooms) == 1


def test_the_more_threads_meet_the_fewer_blocks_run_together() -> None:
    blocks = Blocks(count=32, stream=16, hidden=16, products=18 * 16 * 16)
    together = [blocks.together(360, 64, threads) for threads in (1, 2, 4, 16, 360)]
    assert together == sorted(together, reverse=True)
    assert (together[0], together[-1]) == (32, 1)
    assert blocks.together(1080, 64, 2) > blocks.together(360, 64, 2)


@pytest.mark.parametrize("channels", [8, 16, 64])
def test_rings_and_weights_of_a_part_fit_a_cache(channels: int) -> None:
    network = NetworkConfig(width=channels, blocks=32)
    convs, pattern = convolutions(network)[:-3], (tuple(range(channels)),) * network.points
    blocks = blocks_of(plan_section(convs, pattern))
    assert blocks == Blocks(count=32, stream=channels, hidden=channels, products=18 * channels**2)
    for width in (64, 320, 960):
        together = blocks.together(100, width, 1)
        for part in programs(plan_section(convs, pattern), together):
            ours = sized(part, 100, width, 0, 100)
            rings = ours.buffers["ring"] * ours.buffers["channels"] * ours.buffers["width"]
            weights = sum(9 * len(stage.channels_in) * len(stage.channels_out) for stage in part.stages)
            assert together == 1 or 4 * (rings.sum() + weights) < 1.5 * CACHE


@pytest.mark.parametrize("name", ["blocks.0.conv1.weight", "blocks.1.conv2.bias", "out.weight", "tail.bias"])
def test_weights_that_do_not_fit_are_refused_before_anything_runs(name: str) -> None:
    short = {name: dense()[name][:-1]}
    with pytest.raises(RuntimeError, match=f"{name.rsplit('.', 1)[0]} makes .* do not fit"):
        NumbaRuntime(1).compile(plan_section(convolutions(TINY), DENSE), dense(short))


def test_a_state_that_does_not_fit_is_refused() -> None:
    convs = convolutions(TINY)[1:]
    tensors = {name: tensor for name, tensor in dense().items() if not name.startswith("head")}
    section = NumbaRuntime(1).compile(plan_section(convs, DENSE, tuple(range(8))), tensors)
    picture = image(4, 4)
    with pytest.raises(ValueError, match="stream"):
        section(State(picture, torch.zeros(1, 7, 2, 2), picture[:, :0], False), torch.zeros(3))


def test_an_image_without_colours_is_refused() -> None:
    section = NumbaRuntime(1).compile(plan_section(convolutions(TINY), DENSE), dense())
    with pytest.raises(ValueError, match="image has 2 channels"):
        section(start(image(4, 4)[:, :2]), torch.zeros(3))


def test_what_does_not_fit_an_image_is_not_added() -> None:
    picture = image(4, 4)
    with pytest.raises(ValueError, match="what is added"):
        NumbaRuntime(1).add_scaled(picture, torch.ones(3), picture[:, :2])


def test_processors_with_short_vectors_too() -> None:
    """Compiled for one with AVX2 only, in a process of its own."""
    code = """
import torch
from tatsnet.runtimes.numba import loops
from tests.tatsnet.runtimes.numba.test_runtime import NumbaRuntime, hidden, image, right
assert loops.LANES == 8
for size in ((6, 70), (40, 34)):
    torch.testing.assert_close(hidden(NumbaRuntime(2), image(*size)), right(image(*size)), rtol=1e-5, atol=1e-5)
"""
    processor = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **processor})
