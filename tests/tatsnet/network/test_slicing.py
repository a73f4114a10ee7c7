"""A section's weights for one task do what the section's do for that task, and for no other."""

from __future__ import annotations

import torch

from tatsnet.network.architecture import convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, with_scales
from tatsnet.network.supernet import MEAN_TASK
from tatsnet.runtimes.torch.layers import start
from tatsnet.runtimes.torch.section import Section
from tests.tatsnet.networks import SPARSE, TINY, frozen_network, random_tasks

CONVS = convolutions(TINY)


def test_scales_in_the_weights_are_the_tasks() -> None:
    model = frozen_network(0, SPARSE).double()
    one, other = random_tasks(2)
    (pattern,) = model.patterns([one])
    tensors = slice_section(model.supernet.state_dict(), TINY, CONVS, pattern, shared=False)
    image = torch.rand(1, 3, 6, 8, dtype=torch.float64)

    def hidden(weights: dict[str, torch.Tensor], task: tuple[float, float, float]) -> torch.Tensor:
        section = Section(plan_section(CONVS, pattern), weights)
        with torch.inference_mode():
            return section(start(image), torch.tensor(task, dtype=torch.float64)).hidden_BCHW

    assert not any("scale" in name for name in with_scales(tensors, one))
    assert torch.allclose(hidden(with_scales(tensors, one), one), hidden(tensors, one), atol=1e-12)
    assert torch.equal(hidden(with_scales(tensors, one), other), hidden(with_scales(tensors, one), one))
    assert not torch.allclose(hidden(tensors, other), hidden(tensors, one), atol=1e-6)


def test_a_shared_section_has_the_mean_tasks_scales() -> None:
    weights = frozen_network(0).supernet.state_dict()
    pattern = TINY.whole
    shared, specific = (slice_section(weights, TINY, CONVS, pattern, shared=shared) for shared in (True, False))
    fixed = with_scales(specific, (MEAN_TASK,) * 3)
    assert shared.keys() == fixed.keys()
    assert all(torch.equal(shared[name], fixed[name]) for name in shared)
