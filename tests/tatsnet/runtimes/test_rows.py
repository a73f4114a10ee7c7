"""Sections run row by row: however the rows and the blocks are shared out, in whatever tiles."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread, main_thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tatsnet.architecture import NetworkConfig, convolutions
from tatsnet.extracted import ExtractedNetwork
from tatsnet.extraction import slice_parts
from tatsnet.runtimes.rows import loops, runtime
from tatsnet.runtimes.rows.plan import Plan, plans, sized
from tatsnet.runtimes.rows.runtime import ROWS, NumbaRuntime, blocks_together
from tatsnet.sections import Section
from tatsnet.slicing import slice_section
from tatsnet.steps import State, start
from tests.tatsnet.networks import TINY, frozen_network, random_tasks

WIDTHS = sorted({2, 2 * loops.LANES, *(2 * loops.LANES * n + 2 for n in range(1, 2 * loops.WIDE + 2))})
DENSE = (tuple(range(8)),) * TINY.points


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def dense(changed: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    tensors = slice_section(frozen_network(0).supernet.state_dict(), TINY, convolutions(TINY), DENSE, shared=True)
    return {**tensors, **(changed or {})}


def hidden(runtime: NumbaRuntime, picture: Tensor) -> Tensor:
    section = runtime.compile(convolutions(TINY), DENSE, (), dense())
    return section(start(picture), torch.zeros(3)).hidden_BCHW


@torch.inference_mode()
def right(picture: Tensor) -> Tensor:
    return Section(convolutions(TINY), DENSE, (), dense())(start(picture), torch.zeros(3)).hidden_BCHW


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
    monkeypatch.setattr(runtime, "blocks_together", lambda rows, threads: blocks)
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
    section = shared.compile(convolutions(TINY), DENSE, (), dense())
    with ThreadPoolExecutor(6) as callers:
        made = list(callers.map(lambda picture: section(start(picture), torch.zeros(3)).hidden_BCHW, pictures * 4))
    for own, picture in zip(made, pictures * 4, strict=True):
        torch.testing.assert_close(own, right(picture), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fails", ["caller", "other"])
def test_nobody_waits_for_a_thread_that_failed(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    sweep = runtime._sweep

    def faulty(plan: Plan, *given: Any) -> None:
        if (current_thread() is main_thread()) == (fails == "caller"):
            raise ValueError("lost")
        sweep(plan, *given)

    monkeypatch.setattr(runtime, "_sweep", faulty)
    monkeypatch.setattr(runtime, "blocks_together", lambda rows, threads: 1)
    with pytest.raises(ValueError, match="lost"):
        hidden(NumbaRuntime(2), image(6 * ROWS, 20))


def test_memory_does_not_grow_with_the_height() -> None:
    (whole,) = plans(convolutions(TINY), DENSE, (), dense(), sys.maxsize)
    rooms = {sized(whole, height, 64, 0, height).room for height in (100, 1000, 10_000)}
    assert len(rooms) == 1


def test_the_more_threads_meet_the_fewer_blocks_run_together() -> None:
    together = [blocks_together(360, threads) for threads in (1, 2, 4, 16, 360)]
    assert together == sorted(together, reverse=True)
    assert together[-1] == 1
    assert blocks_together(1080, 2) > blocks_together(360, 2)


@pytest.mark.parametrize("name", ["blocks.0.conv1.weight", "blocks.1.conv2.bias", "out.weight", "tail.bias"])
def test_weights_that_do_not_fit_are_refused_before_anything_runs(name: str) -> None:
    short = {name: dense()[name][:-1]}
    with pytest.raises(RuntimeError, match=f"{name.rsplit('.', 1)[0]} makes .* do not fit"):
        NumbaRuntime(1).compile(convolutions(TINY), DENSE, (), dense(short))


def test_a_state_that_does_not_fit_is_refused() -> None:
    convs = convolutions(TINY)[1:]
    tensors = {name: tensor for name, tensor in dense().items() if not name.startswith("head")}
    section = NumbaRuntime(1).compile(convs, DENSE, tuple(range(8)), tensors)
    picture = image(4, 4)
    with pytest.raises(ValueError, match="stream"):
        section(State(picture, torch.zeros(1, 7, 2, 2), picture[:, :0], False), torch.zeros(3))


def test_processors_with_short_vectors_too() -> None:
    """Compiled for one with AVX2 only, in a process of its own."""
    code = """
import torch
from tatsnet.runtimes.rows import loops
from tests.tatsnet.runtimes.test_rows import NumbaRuntime, hidden, image, right
assert loops.LANES == 8
for size in ((6, 70), (40, 34)):
    torch.testing.assert_close(hidden(NumbaRuntime(2), image(*size)), right(image(*size)), rtol=1e-5, atol=1e-5)
"""
    processor = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **processor})
