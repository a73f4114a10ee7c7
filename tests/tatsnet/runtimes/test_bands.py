"""Bands of rows: equal to the image run whole, wherever the shared part ends, and no wider around than they must be."""

from __future__ import annotations

import pytest
import torch

from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, split, travelling
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes.bands import bytes_per_row, in_bands, reach, rows_within
from tatsnet.runtimes.torch.layers import start
from tatsnet.runtimes.torch.section import Section
from tests.tatsnet.networks import HALF, OPEN, TINY, frozen_network, random_tasks

TASKS = random_tasks(2)
POINTS = TINY.points


@pytest.mark.parametrize("shared", range(POINTS + 1))
@pytest.mark.parametrize(("height", "width"), [(64, 8), (61, 7)])
def test_an_image_in_bands_is_the_image_whole(shared: int, height: int, width: int) -> None:
    parts = slice_parts(frozen_network(shared, HALF).double(), TASKS)
    image = torch.rand(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = ExtractedNetwork(parts)
    # So little that every section runs in the narrowest bands there are.
    banded = ExtractedNetwork(parts, band_bytes=1)
    expected, encoded = whole.encode(image), banded.encode(image)
    for task in TASKS:
        difference = banded.effect(encoded, task) - whole.effect(expected, task)
        assert difference.abs().max() < 1e-12


def test_more_rows_around_are_not_needed_and_fewer_are_not_enough() -> None:
    model = frozen_network(0, OPEN).double()
    convs, pattern = convolutions(TINY), model.patterns([TASKS[0]])[0]
    section = Section(
        plan_section(convs, pattern),
        slice_section(model.supernet.state_dict(), TINY, convs, pattern, shared=False),
    )
    image = torch.rand(1, 3, 64, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    task = torch.tensor(TASKS[0], dtype=torch.float64)
    whole = section(start(image), task).hidden_BCHW
    around = reach(convs)

    def difference(rows: int) -> float:
        return float((in_bands(section, start(image), task, rows, band=8).hidden_BCHW - whole).abs().max())

    assert difference(around) < 1e-12
    assert difference(around - 1) > 1e-9


def test_reach_of_the_papers_network_whole_and_in_parts() -> None:
    network = NetworkConfig()
    convs = convolutions(network)
    # Head, 64 convolutions in blocks, tail; two at full resolution are one row at half.
    assert reach(convs) == 67
    assert reach(()) == 0
    assert reach(convs[:1]) == 1
    assert reach(convs[-1:]) == 1


@pytest.mark.parametrize(
    ("limit", "around", "rows", "band"),
    [(1000, 3, 100, 100), (999, 3, 100, 50), (500, 3, 100, 34), (10, 3, 100, 3), (1, 0, 7, 1), (10**9, 5, 1, 1)],
)
def test_bands_fill_what_they_may_hold_and_are_even(limit: int, around: int, rows: int, band: int) -> None:
    assert rows_within(limit, 10.0, around, rows) == band


def test_a_band_with_what_is_around_it_keeps_the_limit() -> None:
    for limit in range(200, 2000, 37):
        for around in range(8):
            band = rows_within(limit, 10.0, around, 150)
            assert band == 150 or band <= max(around, 1) or (band + 2 * around) * 10 <= limit


def test_the_estimate_is_above_what_a_section_holds() -> None:
    """Counted: the largest tensors that are alive together in a block and in the tail."""
    model = frozen_network(4, OPEN)
    parts = slice_parts(model, TASKS)
    shared, specific = split(parts.architecture)
    pattern = parts.architecture.patterns[0]
    incoming = travelling(shared, pattern)
    width, half = 16, 8
    block = (len(incoming) + 2 * TINY.width) * half * 4
    tail = (TINY.width // 4 + TINY.width) * 4 * half * 4
    assert bytes_per_row(shared, pattern, (), width, 4) >= block
    assert bytes_per_row(specific, pattern, incoming, width, 4) >= max(block, tail)
    assert bytes_per_row(specific, pattern, incoming, width, 8) == 2 * bytes_per_row(
        specific, pattern, incoming, width, 4
    )
