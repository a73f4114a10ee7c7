"""PyTorch, on a CPU or an accelerator. Nothing is compiled, every precision is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tatsnet.architecture import Channels, Conv, Pattern
from tatsnet.runtimes.api import Compiled
from tatsnet.sections import Section
from tatsnet.steps import State


class TorchRuntime:
    """Runs sections with PyTorch; its threads are PyTorch's own.

    Args:
        device: where sections run.
        precision: in which they compute; the weights' own by default. States keep that of the image.
    """

    name = "torch"
    compiles = False

    def __init__(self, device: str | torch.device = "cpu", precision: torch.dtype | None = None) -> None:
        self.device = torch.device(device)
        self._precision = precision

    def compile(
        self, convs: Sequence[Conv], pattern: Pattern, incoming: Channels, tensors: Mapping[str, Tensor]
    ) -> Compiled:
        """A `Section` on the device."""
        here = {name: tensor.to(self.device, self._precision) for name, tensor in tensors.items()}
        section = Section(convs, pattern, incoming, here)
        return section if self._precision is None else _Cast(section, self._precision)


class _Cast:
    """A section that computes in a precision of its own."""

    def __init__(self, section: Section, precision: torch.dtype) -> None:
        self._section, self._precision = section, precision

    def __call__(self, state: State, task_D: Tensor) -> State:
        image, stream, hidden = (tensor.to(self._precision) for tensor in state[:3])
        made: State = self._section(State(image, stream, hidden, state.owned), task_D.to(self._precision))
        return State(state.image_BCHW, made.stream_BCHW.to(task_D), made.hidden_BCHW.to(task_D), made.owned)
