"""OpenVINO, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache

import openvino
import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.onnx.openvino_graph import adapt
from tatsnet.runtimes.onnx.section import GraphSection, Run
from tatsnet.runtimes.torch.layers import add_scaled
from tatsnet.system.allocator import trim_above

LARGE = 2**18
"""Pixels of a result from which on intermediate memory is given up after it: 512 x 512."""

HELD = 9 * 2**29
"""Bytes from which on freed memory goes back to the system then: 4.5 GiB.

An effect of a 3840x2160 photo takes 1 GiB. At 3.5 GiB nearly each one gave it back and faulted it in anew, which was a
quarter of its time.
"""

HINTS = {torch.float32: ("f32", "FP32"), torch.bfloat16: ("bf16", "BF16")}
"""A precision's name as a setting, and as a capability of a CPU."""


@cache
def core() -> openvino.Core:
    """OpenVINO's device plugins: one set for the process, kept for its life.

    Each set gives the thread a stack of its own for signals, and when it goes puts back the one that it found. Of two
    sets that go in the order in which they came, the second puts back the stack that went with the first, and the next
    signal that has a handler kills the process.
    """
    return openvino.Core()


class OpenVinoRuntime:
    """Runs sections with OpenVINO. States are float32 whatever it computes in.

    Args:
        threads: within a convolution, at least 1.
        precision: float32 or bfloat16, in which it computes; left to itself it takes bfloat16 where the CPU can.

    Raises:
        ValueError: a precision that this CPU cannot compute in.
    """

    name = "openvino"
    compiles = True
    device = torch.device("cpu")
    image_layout = torch.contiguous_format
    add_scaled = staticmethod(add_scaled)

    def __init__(self, threads: int, precision: torch.dtype = torch.float32) -> None:
        self.threads = threads
        hint, capability = HINTS[precision]
        if capability not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError(f"OpenVINO on this CPU cannot compute in {precision}: take float32")
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # several processes would be pinned to the same cores
        }

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """A compiled model of the section's graph."""
        return GraphSection(plan, tensors, self._load, adapt)

    def _load(self, model: bytes) -> Run:
        return Requests(core().compile_model(core().read_model(model), "CPU", self._settings))


class Requests:
    """Runs a compiled model, each time with a new inference request: that takes 0.02 ms and holds no tensor after it.

    After a large image the model's intermediate memory is given up: each pattern's model has its own, and that of 27
    patterns on a large photo would not fit.
    """

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._compiled = compiled
        self._lock = threading.Lock()
        self._busy = 0

    def __call__(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
        """Read the inputs, fill the outputs."""
        request = self._compiled.create_infer_request()
        for name, tensor in (*inputs.items(), *outputs.items()):
            request.set_tensor(name, openvino.Tensor(tensor.numpy(), shared_memory=True))
        with self._lock:
            self._busy += 1
        try:
            request.infer()
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy and _pixels(outputs) > LARGE:
                    self._compiled.release_memory()
                    trim_above(HELD)


def _pixels(tensors: Mapping[str, Tensor]) -> int:
    return max(tensor.shape[-2] * tensor.shape[-1] for tensor in tensors.values())
