"""What runs a section of a network: PyTorch, ONNX Runtime, OpenVINO or kernels of our own, behind one interface."""

from tatsnet.runtimes.api import Compiled, Runtime
from tatsnet.runtimes.dense import DenseRestorer

__all__ = ["Compiled", "DenseRestorer", "Runtime"]
