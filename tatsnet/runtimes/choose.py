"""Which runtime to take: the named one, or the fastest that works here."""

from __future__ import annotations

import logging
from importlib.util import find_spec

import torch

from tatsnet.runtimes.api import Runtime
from tatsnet.runtimes.torch.cudagraph import CudaGraphRuntime
from tatsnet.runtimes.torch.runtime import TorchRuntime
from tatsnet.runtimes.trial import try_out

AUTO = "auto"

NAMES = ("numba", "openvino", "onnxruntime", "torch", "cudagraph", "triton")
"""Every runtime, the one that `auto` prefers first."""

NEEDS = {
    "numba": ("numba",),
    "openvino": ("openvino", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "triton": ("triton",),
}
"""What has to be installed for some, beside PyTorch."""

CPU_ONLY = ("numba", "openvino", "onnxruntime")
GPU_ONLY = ("cudagraph", "triton")

PRECISIONS = {
    "numba": (torch.float32,),
    "openvino": (torch.float32, torch.bfloat16),
    "onnxruntime": (torch.float32,),
    "triton": (torch.float32, torch.bfloat16, torch.float16),
}
"""In which they compute; PyTorch in any."""


CACHE_ADVICE = "set NUMBA_CACHE_DIR to a folder that can be written, or take another one"

_log = logging.getLogger(__name__)
_tried: set[str] = set()
_said: set[str] = set()


def available(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, precision: torch.dtype | None = None
) -> tuple[str, ...]:
    """The runtimes that are installed and serve a device and a network, the fastest first."""
    return tuple(name for name in NAMES if why_not(name, device, dtype, precision) is None)


def why_not(
    name: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    precision: torch.dtype | None = None,
) -> str | None:
    """Why a runtime cannot be taken and what to do; None where it can.

    Raises:
        ValueError: there is no such runtime.
    """
    if name not in NAMES:
        raise ValueError(f"there is no runtime {name!r}: give one of {', '.join((AUTO, *NAMES))}")
    if name in GPU_ONLY and torch.device(device).type != "cuda":
        return f"the runtime {name} serves NVIDIA GPUs only, not {device}: take torch"
    if name in CPU_ONLY and torch.device(device).type != "cpu":
        return f"the runtime {name} serves the CPU only, not {device}: take torch"
    if name in CPU_ONLY and dtype != torch.float32:
        return f"the runtime {name} serves float32 networks only, not {dtype}: take torch"
    if name in PRECISIONS and (precision or dtype) not in PRECISIONS[name]:
        return f"the runtime {name} does not compute in {precision or dtype}: take torch"
    missing = [package for package in NEEDS.get(name, ()) if not _is_installed(package)]
    return f"the runtime {name} is not installed: pip install {' '.join(missing)}" if missing else None


def pick(
    name: str = AUTO,
    device: str | torch.device = "cpu",
    threads: int | None = None,
    dtype: torch.dtype = torch.float32,
    precision: torch.dtype | None = None,
) -> Runtime:
    """A runtime by its name, or with `auto` the fastest that works here.

    What is installed need not work: a package may not import, a cache not be writable. Each runtime is tried on a few
    pixels; `auto` goes on to the next one and says once which it left out.

    Args:
        name: `auto`, `numba`, `openvino`, `onnxruntime`, `torch`, `cudagraph` or `triton`.
        device: where the network is to run; the CPU is where there is a choice.
        threads: of all but PyTorch, for good; as many as PyTorch uses now by default. PyTorch's are set with
            `torch.set_num_threads`.
        dtype: of the network's weights.
        precision: in which to compute, if another than that: all but numba and onnxruntime know bfloat16, those
            with a GPU float16 as well;
            `BOUNDS` says how far off the results may be.

    Raises:
        ValueError: no such runtime, or one that cannot be taken here; the message says why and what to do.
    """
    threads = torch.get_num_threads() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if name != AUTO:
        reason = why_not(name, device, dtype, precision)
        if reason is not None:
            raise ValueError(reason)
        return _working(name, device, threads, precision)
    *others, last = available(device, dtype, precision)
    for other in others:
        try:
            return _working(other, device, threads, precision)
        except ValueError as error:
            if other not in _said:
                _said.add(other)
                _log.warning("%s; the next one is taken (further warnings suppressed)", error)
    return _working(last, device, threads, precision)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # half of it is there
        return False


def _working(name: str, device: str | torch.device, threads: int, precision: torch.dtype | None) -> Runtime:
    """A runtime that was tried on a few pixels, the first time that it is taken.

    Raises:
        ValueError: it does not work here.
    """
    try:
        runtime = _make(name, device, threads, precision)
        if name not in _tried:
            try_out(runtime)
            _tried.add(name)
    except Exception as error:  # packages fail to load and to compile in every imaginable way
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        advice = CACHE_ADVICE if "cache" in reason else "install its package again, or take another one"
        raise ValueError(f"the runtime {name} does not work here ({reason}): {advice}") from error
    return runtime


def _make(name: str, device: str | torch.device, threads: int, precision: torch.dtype | None) -> Runtime:
    match name:
        case "numba":
            from tatsnet.runtimes.numba.runtime import NumbaRuntime

            return NumbaRuntime(threads)
        case "openvino":
            from tatsnet.runtimes.onnx.openvino import OpenVinoRuntime

            return OpenVinoRuntime(threads, precision or torch.float32)
        case "onnxruntime":
            from tatsnet.runtimes.onnx.ort import OrtRuntime

            return OrtRuntime(threads)
        case "cudagraph":
            return CudaGraphRuntime(device, precision)
        case "triton":
            from tatsnet.runtimes.triton.runtime import TritonRuntime

            return TritonRuntime(device, precision)
        case _:
            return TorchRuntime(device, precision)
