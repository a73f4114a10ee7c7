"""ONNX Runtime, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.onnx.section import GraphSection, Run
from tatsnet.runtimes.torch.layers import add_scaled


class OrtRuntime:
    """Runs sections with ONNX Runtime, in float32.

    Args:
        threads: within a convolution, at least 1.
    """

    name = "onnxruntime"
    compiles = True
    device = torch.device("cpu")
    image_layout = torch.contiguous_format
    add_scaled = staticmethod(add_scaled)

    def __init__(self, threads: int) -> None:
        self.threads = threads
        _share_memory()

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """A session of the section's graph."""
        return GraphSection(plan, tensors, self._load)

    def _load(self, model: bytes) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
            binding = session.io_binding()
            for name, tensor in inputs.items():
                binding.bind_input(name, "cpu", 0, np.float32, list(tensor.shape), tensor.data_ptr())
            for name, tensor in outputs.items():
                binding.bind_output(name, "cpu", 0, np.float32, list(tensor.shape), tensor.data_ptr())
            session.run_with_iobinding(binding)

        return run


@cache
def _share_memory() -> None:
    """One arena for all sessions of the process: each pattern's session would keep its own activations for good."""
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(info, None)
