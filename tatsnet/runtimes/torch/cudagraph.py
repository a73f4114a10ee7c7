"""PyTorch on an NVIDIA GPU with CUDA graphs: a section's kernels are recorded once per image size, launched as one.

A pruned section on a photo of some megapixels is a hundred kernels of some microseconds each: as long as it takes to
launch them one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.torch.layers import State, add_scaled
from tatsnet.runtimes.torch.runtime import TorchRuntime

SIZES = 4
"""Recordings kept per section, and inputs per network: those of the task-agnostic part and of a few others."""

Work = Callable[[], State]
Record = Callable[[Work], tuple[State, Callable[[], None]]]
"""Gives the state that a work makes, and what makes it again in the same memory from what its inputs hold then."""


class CudaGraphRuntime:
    """Runs sections with PyTorch's kernels, recorded as CUDA graphs. All work of a process goes through one stream.

    Args:
        device: an NVIDIA GPU.
        precision: in which sections compute; the weights' own by default.
        recorder: makes what records them.
    """

    name = "cudagraph"
    compiles = False
    image_layout = torch.channels_last
    add_scaled = staticmethod(add_scaled)

    def __init__(
        self,
        device: str | torch.device = "cuda",
        precision: torch.dtype | None = None,
        recorder: Callable[[], Record] | None = None,
    ) -> None:
        self._torch = TorchRuntime(device, precision, torch.channels_last)
        self.device = self._torch.device
        self._recorder = Recorder((recorder or CudaGraphs)())

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """A section that is recorded when it is first called with an image of some size."""
        return Recorded(self._torch.compile(plan, tensors), self._recorder)


class CudaGraphs:
    """Records works as CUDA graphs that share their intermediate memory, so that one may run at a time."""

    def __init__(self) -> None:
        self._pool: Any = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> tuple[State, Callable[[], None]]:
        """Run the work once, so that libraries load their kernels, then record it."""
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            made = work()
        return made, graph.replay


class Recorder:
    """What the recordings of one runtime share: the memory of their inputs, and who is at work.

    Args:
        record: makes a recording.
        in_place: a stream is read where it lies, which moves less, and is recorded anew when it lies elsewhere.
    """

    def __init__(self, record: Record, *, in_place: bool = False) -> None:
        self.record, self._in_place = record, in_place
        self.lock = Lock()
        self._inputs: OrderedDict[tuple[object, ...], tuple[State, Tensor]] = OrderedDict()

    def inputs(self, state: State, task_D: Tensor) -> tuple[State, Tensor]:
        """Memory for inputs of these shapes; the section may change it."""
        key = signature(state, task_D)
        if key not in self._inputs:
            image, stream, hidden = (torch.empty_like(tensor) for tensor in state[:3])
            self._inputs[key] = State(image, stream, hidden, True), torch.empty_like(task_D)
            while len(self._inputs) > SIZES:
                self._inputs.popitem(last=False)
        self._inputs.move_to_end(key)
        return self._inputs[key]

    def reads_in_place(self, state: State) -> bool:
        """Whether a recording reads this very state; an image, which comes from anywhere, is copied."""
        return self._in_place and state.stream_BCHW.shape[1] > 0


@dataclass(frozen=True, eq=False)
class Recording:
    """A section recorded for one size: where it reads, where it writes, and what runs it again.

    Attributes:
        copied: where the state is copied to; None reads it where it lies.
    """

    copied: State | None
    task_D: Tensor
    stream_BCHW: Tensor
    hidden_BCHW: Tensor
    replay: Callable[[], None]


class Recorded:
    """A section that is recorded once per size of its inputs.

    Args:
        section: reads and makes states on one device.
        recorder: shared with the other sections of the runtime.
    """

    def __init__(self, section: Compiled, recorder: Recorder) -> None:
        self._section, self._recorder = section, recorder
        self._recordings: OrderedDict[tuple[object, ...], Recording] = OrderedDict()

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions; the result is a copy, for the next recording will use its memory."""
        with self._recorder.lock:
            key = signature(state, task_D)
            if self._recorder.reads_in_place(state):
                key += (state.stream_BCHW.data_ptr(), state.hidden_BCHW.data_ptr())
            if key not in self._recordings:
                self._recordings[key] = self._make(state, task_D)
                while len(self._recordings) > SIZES:
                    self._recordings.popitem(last=False)
            self._recordings.move_to_end(key)
            recording = self._recordings[key]
            fill(recording.copied, recording.task_D, state, task_D)
            recording.replay()
            return State(state.image_BCHW, recording.stream_BCHW.clone(), recording.hidden_BCHW.clone(), True)

    def _make(self, state: State, task_D: Tensor) -> Recording:
        if self._recorder.reads_in_place(state):
            copied, inputs, task = None, state._replace(owned=False), torch.empty_like(task_D)
        else:
            copied, task = self._recorder.inputs(state, task_D)
            inputs = copied
        fill(copied, task, state, task_D)
        made, replay = self._recorder.record(lambda: self._section(inputs, task))
        return Recording(copied, task, made.stream_BCHW, made.hidden_BCHW, replay)


def signature(state: State, task_D: Tensor) -> tuple[object, ...]:
    """What a recording depends on: shapes, strides and types of the inputs."""
    return tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in (*state[:3], task_D))


def fill(copied: State | None, task: Tensor, state: State, task_D: Tensor) -> None:
    """Copy a call's inputs to where a recording reads them."""
    task.copy_(task_D)
    if copied is not None:
        for own, given in zip(copied[:3], state[:3], strict=True):
            own.copy_(given)
