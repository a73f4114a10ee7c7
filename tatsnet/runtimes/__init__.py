"""What runs a section of a network behind one interface: loops of our own, OpenVINO, ONNX Runtime, PyTorch, Triton."""

from tatsnet.runtimes.api import Compiled, Runtime
from tatsnet.runtimes.dense import DenseRestorer

__all__ = ["Compiled", "DenseRestorer", "Runtime"]
