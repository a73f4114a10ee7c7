"""A rectangle's effects are the whole image's effects there, wherever the shared part ends, and cost no more."""

from __future__ import annotations

import pytest
import torch

from tatsnet.pruned.boxes import Box
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes.numba.runtime import NumbaRuntime
from tests.tatsnet.networks import HALF, TINY, frozen_network, random_tasks

TASKS = random_tasks(2)
HEIGHT, WIDTH = 75, 61


def image(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(1, 3, HEIGHT, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shared", range(TINY.points + 1))
@pytest.mark.parametrize(
    "box",
    [Box(0, 0, HEIGHT, WIDTH), Box(31, 24, 40, 33), Box(0, 30, HEIGHT, WIDTH), Box(70, 0, HEIGHT, 1), Box(0, 0, 1, 1)],
)
def test_its_effects_are_the_whole_images_there(shared: int, box: Box) -> None:
    network = ExtractedNetwork(slice_parts(frozen_network(shared, HALF).double(), TASKS))
    expected, encoded = network.encode(image()), network.encode(image(), box)
    for task in TASKS:
        made = network.effect(encoded, task)
        assert made.shape[-2:] == (box.bottom - box.top, box.right - box.left)
        assert (made - box.of(network.effect(expected, task))).abs().max() < 1e-12


def test_compiled_loops_read_a_rectangle_too() -> None:
    network = ExtractedNetwork(slice_parts(frozen_network(4), TASKS), runtime=NumbaRuntime(2))
    box = Box(31, 24, 40, 33)
    made = network.effect(network.encode(image(torch.float32), box), TASKS[0])
    expected = box.of(network.effect(network.encode(image(torch.float32)), TASKS[0]))
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


def test_what_is_kept_for_its_effects_is_no_larger_than_they_need() -> None:
    network = ExtractedNetwork(slice_parts(frozen_network(TINY.points - 1), TASKS))
    tall = torch.rand(1, 3, 400, 400)
    state = network.encode(tall, Box(200, 200, 210, 220)).state
    assert state.image_BCHW.shape[-2] < 10 + 4 * network.around
    assert state.stream_BCHW.untyped_storage().nbytes() == 4 * state.stream_BCHW.numel()


@pytest.mark.parametrize("box", [Box(5, 5, 5, 9), Box(-1, 0, 5, 5), Box(0, 0, HEIGHT + 1, 5), Box(0, 9, 5, 5)])
def test_a_rectangle_that_is_no_part_is_refused(box: Box) -> None:
    network = ExtractedNetwork(slice_parts(frozen_network(4), TASKS))
    with pytest.raises(ValueError, match="no part of an image of 61x75"):
        network.encode(image(torch.float32), box)
