"""What runs a section of a network: PyTorch, ONNX Runtime or OpenVINO, behind one interface."""

from tatsnet.runtimes.api import Compiled, Runtime
from tatsnet.runtimes.dense import DenseRestorer

__all__ = ["Compiled", "DenseRestorer", "Runtime"]
