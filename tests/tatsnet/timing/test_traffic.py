"""Numbers moved, by hand."""

from __future__ import annotations

import pytest

from tatsnet.network.architecture import Architecture, NetworkConfig
from tatsnet.network.flops import effect_cost
from tatsnet.timing.synthetic import TATS, Layout, architecture
from tatsnet.timing.traffic import dense_moved, moved

NET = NetworkConfig(width=4, blocks=1)


def test_the_dense_network_by_hand() -> None:
    head = 3 + 4 / 4
    block = (4 + 4) / 4 + (4 + 4 + 4) / 4
    tail, up, out = (4 + 4) / 4, 1 + 4, 4 + 3
    assert dense_moved(NET, 9, 15) == (head + block + tail + up + out) * 10 * 16


def test_a_found_network_by_hand() -> None:
    # Head 2, in 2, mid 1, out 2 are shared; tail in 2 and 1, up 3 and 1 are not.
    shared = ((0, 1), (0, 1), (2,), (0, 1))
    patterns = ((*shared, (0, 1), (0, 1, 2)), (*shared, (0,), (3,)))
    tasks = (((0.0, 0.0, 0.0), 0), ((1.0, 0.0, 0.0), 1), ((0.0, 1.0, 0.0), 1), ((1.0, 1.0, 0.0), 1))
    found = Architecture(network=NET, shared=4, patterns=patterns, tasks=tasks)
    once = (3 + 2 / 4) + (2 + 1) / 4 + (1 + 2 + 2) / 4
    many = (2 + 4) / 4 + (1 + 3) + (3 + 3)
    few = (1 + 4) / 4 + (1 + 1) + (1 + 3)
    assert moved(found, 8, 8, 5) == pytest.approx(64 * (once / 5 + (many + 3 * few) / 4))


def test_a_network_with_every_channel_moves_what_dense_does() -> None:
    every = tuple(range(4))
    found = Architecture(network=NET, shared=0, patterns=((every,) * NET.points,), tasks=(((0.0, 0.0, 0.0), 0),))
    assert moved(found, 8, 6, 27) == dense_moved(NET, 8, 6)


def test_pruning_cuts_flops_more_than_traffic() -> None:
    found = architecture(TATS, Layout.TIED)
    cut = moved(found, 720, 1280, 27) / dense_moved(found.network, 720, 1280)
    assert effect_cost(found, 720, 1280, 27).ratio < cut < 0.2
