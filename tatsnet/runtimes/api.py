"""What every runtime promises.

Shapes: D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from tatsnet.network.section_plan import SectionPlan
from tatsnet.runtimes.torch.layers import State

BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 0.05, torch.float16: 0.01}
"""Largest difference from the masked network's output, on images in [0, 1], by the precision of a runtime."""


class Compiled(Protocol):
    """A section that is ready to run. May be called by several threads at once."""

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions.

        Args:
            state: from `steps.start` or the section before, on the runtime's device, float32; any batch, even sizes.
                It is not changed, unless it owns its stream. What a section leaves for the next one of its runtime, or
                to be scaled and added to the image, may be of the runtime's precision.
            task_D: moves the residual scales of a task-specific part only; any content where there are none.
        """
        ...


class Runtime(Protocol):
    """Turns the weights of a section into something that runs.

    Attributes:
        name: by which it is chosen: one of `choose.NAMES`.
        device: where the states that it reads and makes lie.
        compiles: whether `compile` is slow enough to run in the background.
        image_layout: how the images that it reads fastest, and those that it makes, lie in memory: plane by plane
            (contiguous), or pixel by pixel (channels last). It reads others too.
    """

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def compiles(self) -> bool: ...

    @property
    def image_layout(self) -> torch.memory_format: ...

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        """Make a section ready to run; it equals `Section` of the same arguments.

        Args:
            plan: of the section.
            tensors: what `slice_section` gave for the same convolutions and pattern, on any device.

        Raises:
            KeyError, RuntimeError: weights that do not belong to the convolutions.
            ValueError: weights of a precision that the runtime does not know.
        """
        ...

    def add_scaled(self, image_BCHW: Tensor, scale_C: Tensor, hidden_BCHW: Tensor) -> Tensor:
        """The last step of the network: hidden, times the global scale of each colour, is added to the image.

        Args:
            image_BCHW, hidden_BCHW: of a state after the last section; they are left as they are.
        """
        ...
