"""PyTorch, on a CPU or an accelerator. Nothing is compiled, every precision is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tatsnet.architecture import Channels, Conv, Pattern
from tatsnet.runtimes.api import Compiled
from tatsnet.sections import Section


class TorchRuntime:
    """Runs sections with PyTorch; its threads are PyTorch's own.

    Args:
        device: where sections run.
    """

    name = "torch"
    compiles = False

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)

    def compile(
        self, convs: Sequence[Conv], pattern: Pattern, incoming: Channels, tensors: Mapping[str, Tensor]
    ) -> Compiled:
        """A `Section` on the device."""
        here = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        return Section(convs, pattern, incoming, here)
