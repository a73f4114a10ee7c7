"""The dense network is the super network in every runtime."""

from __future__ import annotations

import pytest
import torch

from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.supernet import SuperNetwork
from tatsnet.runtimes import DenseRestorer
from tatsnet.runtimes.bands import BAND_BYTES
from tatsnet.runtimes.choose import available, pick
from tatsnet.runtimes.dense import held_bytes
from tests.tatsnet.networks import random_tasks


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 10), (2, 7, 5), (1, 1, 1)])
def test_effects_are_the_super_networks(name: str, batch: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    network = SuperNetwork(NetworkConfig(width=8, blocks=2), generator)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    image, tasks = torch.rand(batch, 3, height, width, generator=generator), random_tasks(3)
    made = list(DenseRestorer(network, pick(name, threads=1)).effects(image, tasks))
    with torch.inference_mode():
        expected = [network(image, torch.tensor([task] * batch)) for task in tasks]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(made, expected, strict=True))
    assert not torch.equal(made[0], made[1])


@pytest.mark.parametrize("name", available())
def test_a_large_image_in_bands_is_the_image_whole(name: str) -> None:
    network = SuperNetwork(NetworkConfig(width=8, blocks=2), torch.Generator().manual_seed(0)).eval()
    image, tasks = torch.rand(1, 3, 61, 7, generator=torch.Generator().manual_seed(1)), random_tasks(2)
    whole, banded = (
        list(DenseRestorer(network, pick(name, threads=1), size).effects(image, tasks)) for size in (2**30, 1)
    )
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(whole, banded, strict=True))


@pytest.mark.parametrize("width", [64, 512])
def test_what_the_dense_network_holds_is_bounded_by_the_bands(width: int) -> None:
    network = NetworkConfig(width=width, blocks=1)
    small, large = (held_bytes(network, side, side) for side in (100, 10_000))
    assert small > 100 * 100 * 10 * width
    assert 4 * 10**8 * (width // 2 + 15) + BAND_BYTES == large


def test_a_network_that_is_changed_later_is_another_one() -> None:
    network = SuperNetwork(NetworkConfig(width=8, blocks=1), torch.Generator().manual_seed(0))
    dense, image = DenseRestorer(network, pick("torch")), torch.rand(1, 3, 4, 4)
    before = next(dense.effects(image, [(0, 0, 1)]))
    with torch.no_grad():
        network.out.bias.add_(1)
    assert torch.equal(before, next(dense.effects(image, [(0, 0, 1)])))
