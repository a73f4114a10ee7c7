"""Which steps a section has: a tied one gathers and scatters nothing, and leaves behind what it does not use."""

from __future__ import annotations

import pytest
import torch

from tatsnet.data.degradation import GRID
from tatsnet.method.masked import MaskedNetwork
from tatsnet.network.architecture import NetworkConfig, Pattern
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, split
from tatsnet.pruned.extraction import slice_parts
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.runtimes.torch.layers import Enter, Extend, Leave, Tail, Take
from tatsnet.runtimes.torch.section import Section
from tests.tatsnet.networks import frozen_network, random_tasks

NETWORK = NetworkConfig(width=16, blocks=3)  # 12 selection points
SIZES = [(1, 1), (7, 9)]
KNOWN = GRID[::4]
FEW, SOME, MANY = -0.2, 0.0, 0.2


def network_of(shared: int, preference: float = SOME, group: int = 4, *, tied: bool = True) -> MaskedNetwork:
    least = group  # one group at least, so that no section dies
    model = frozen_network(shared, preference, network=NETWORK, min_channels=least, group=group, tied=tied, seed=shared)
    return model.double()


def sections(model: MaskedNetwork) -> list[tuple[Pattern, Section]]:
    """The shared section, and those of known tasks."""
    architecture = model.architecture(KNOWN)
    weights = model.supernet.state_dict()
    shared_convs, own_convs = split(architecture)
    first = architecture.patterns[0]
    shared = Section(
        plan_section(shared_convs, first), slice_section(weights, NETWORK, shared_convs, first, shared=True)
    )
    made = [(first, shared)]
    for pattern in architecture.patterns:
        tensors = slice_section(weights, NETWORK, own_convs, pattern, shared=False)
        made.append((pattern, Section(plan_section(own_convs, pattern, shared.channels), tensors)))
    return made


@pytest.mark.parametrize("preference", [FEW, SOME, MANY])
@pytest.mark.parametrize("shared", range(NETWORK.points + 1))
def test_a_tied_section_gathers_nothing_but_its_channels_once(shared: int, preference: float) -> None:
    for _, section in sections(network_of(shared, preference)):
        assert not any(isinstance(step, Extend) for step in section.steps)
        assert all(step.take is None for step in section.steps if isinstance(step, Enter | Tail))
        assert all(step.put is None for step in section.steps if isinstance(step, Leave))
        taken = [index for index, step in enumerate(section.steps) if isinstance(step, Take)]
        assert taken in ([], [0])


def test_an_untied_section_gathers() -> None:
    """What the law above would miss if the steps had no such attribute."""
    steps = [step for _, section in sections(network_of(4, tied=False)) for step in section.steps]
    assert any(step.take is not None for step in steps if isinstance(step, Enter))
    assert any(step.put is not None for step in steps if isinstance(step, Leave))


def test_a_section_takes_the_channels_that_it_uses() -> None:
    """Of those that the shared section hands on: a tied one never adds any."""
    (common, _), *own = sections(network_of(4, group=1))
    pattern, section = min(own, key=lambda made: len(made[1].channels))
    take = section.steps[0]
    assert isinstance(take, Take)
    assert section.channels == pattern[-2]
    assert set(section.channels) < set(common[0])
    assert [common[0][place] for place in take.take.tolist()] == list(section.channels)


CASES = [(shared, group, True) for shared in (0, 1, 2, 3, 8, 11, 12) for group in (1, 4)]
CASES += [(0, 2, False), (4, 4, False), (9, 16, False), (6, 2, True), (5, 16, True)]


@pytest.mark.parametrize(("shared", "group", "tied"), CASES)
def test_the_extracted_network_is_the_masked_one(shared: int, group: int, tied: bool) -> None:
    """Known tasks and others, in double precision; their patterns too."""
    model = network_of(shared, group=group, tied=tied)
    network = ExtractedNetwork(slice_parts(model, KNOWN))
    others = random_tasks(4)
    assert [network.pattern(task) for task in others] == model.patterns(others)
    tasks = [*KNOWN, *others]
    for height, width in SIZES:
        generator = torch.Generator().manual_seed(height)
        image = torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)
        encoded = network.encode(image)
        with torch.inference_mode():
            expected = model(image.expand(len(tasks), -1, -1, -1), torch.tensor(tasks, dtype=torch.float64))
        for task, restored in zip(tasks, expected, strict=True):
            assert (network.effect(encoded, task) - restored).abs().max() <= 1e-10
