"""The runtime `triton`: sections by kernels of our own, on an NVIDIA GPU; a CPU interprets them, to check them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.torch.cudagraph import CudaGraphs, Record, Recorded, Recorder
from tatsnet.runtimes.torch.layers import add_scaled
from tatsnet.runtimes.triton.launch import OPERANDS, compiled, interpreted
from tatsnet.runtimes.triton.section import FusedSection


class TritonRuntime:
    """Runs sections with the kernels of `kernels`, on a GPU recorded as CUDA graphs.

    Args:
        device: an NVIDIA GPU, or the CPU, some thousand times slower than PyTorch.
        precision: of weights, stream and products; the weights' own by default.
        recorder: makes what records sections; on a CPU none does by default.
    """

    name = "triton"
    compiles = False
    image_layout = torch.channels_last
    add_scaled = staticmethod(add_scaled)

    def __init__(
        self,
        device: str | torch.device = "cuda",
        precision: torch.dtype | None = None,
        recorder: Callable[[], Record] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._precision = precision
        on_gpu = self.device.type == "cuda"
        self._launch = compiled if on_gpu else interpreted
        recorder = recorder or (CudaGraphs if on_gpu else None)
        self._recorder = recorder and Recorder(recorder(), in_place=True)

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """A section; its kernels are compiled when it is first called.

        Raises:
            ValueError: weights of a precision that the kernels do not know.
        """
        own = next((tensor.dtype for tensor in tensors.values()), torch.float32)
        precision = self._precision or own
        if precision not in OPERANDS:
            raise ValueError(f"the runtime triton takes float32, bfloat16 and float16, not {precision}")
        section = FusedSection(plan, tensors, self.device, precision, self._launch)
        return section if self._recorder is None else Recorded(section, self._recorder)
