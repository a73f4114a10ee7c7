"""What the PyTorch runtime does beside running a section."""

from __future__ import annotations

import torch
from torch import Tensor

from tatsnet.runtimes.torch.layers import State, start
from tatsnet.runtimes.torch.runtime import WithoutTf32


def test_tf32_is_off_while_a_section_runs_and_as_it_was_after() -> None:
    seen: list[bool] = []

    def section(state: State, task_D: Tensor) -> State:
        seen.append(torch.backends.cudnn.allow_tf32)
        return state

    for before in (True, False):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=before):
            WithoutTf32(section)(start(torch.zeros(1, 3, 2, 2)), torch.zeros(3))
            assert torch.backends.cudnn.allow_tf32 == before
    assert seen == [False, False]
