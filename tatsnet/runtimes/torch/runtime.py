"""PyTorch, on a CPU or an accelerator. Nothing is compiled, every precision is known."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.torch.layers import State, add_scaled
from tatsnet.runtimes.torch.section import Section


class TorchRuntime:
    """Runs sections with PyTorch; its threads are PyTorch's own.

    Args:
        device: where sections run.
        precision: in which they compute; the weights' own by default. States keep that of the image.
        layout: of the stream in memory; by default plane by plane on a CPU, pixel by pixel on a GPU.
    """

    name = "torch"
    compiles = False
    image_layout = torch.channels_last
    add_scaled = staticmethod(add_scaled)

    def __init__(
        self,
        device: str | torch.device = "cpu",
        precision: torch.dtype | None = None,
        layout: torch.memory_format | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._precision = precision
        on_gpu = self.device.type == "cuda"
        self._layout = layout or (torch.channels_last if on_gpu else torch.contiguous_format)

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """A `Section` on the device."""
        here = {name: tensor.to(self.device, self._precision) for name, tensor in tensors.items()}
        section: Compiled = Section(plan, here, self._layout)
        if self.device.type == "cuda":
            section = WithoutTf32(section)
        return section if self._precision is None else _Cast(section, self._precision)


class WithoutTf32:
    """A section whose float32 convolutions on an NVIDIA GPU are float32: cuDNN would round their inputs to 10 bits.

    PyTorch has one switch for all threads, so sections are launched one after the other; they run when they will.
    """

    _switch = Lock()

    def __init__(self, section: Compiled) -> None:
        self._section = section

    def __call__(self, state: State, task_D: Tensor) -> State:
        with self._switch, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._section(state, task_D)


class _Cast:
    """A section that computes in a precision of its own."""

    def __init__(self, section: Compiled, precision: torch.dtype) -> None:
        self._section, self._precision = section, precision

    def __call__(self, state: State, task_D: Tensor) -> State:
        image, stream, hidden = (tensor.to(self._precision) for tensor in state[:3])
        made = self._section(State(image, stream, hidden, state.owned), task_D.to(self._precision))
        return State(state.image_BCHW, made.stream_BCHW.to(task_D), made.hidden_BCHW.to(task_D), made.owned)
