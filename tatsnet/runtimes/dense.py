"""The super network in a runtime, every channel kept: what an extracted network is compared with in fairness.

Shapes: B batch, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from tatsnet.network.architecture import convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, with_scales
from tatsnet.network.supernet import SuperNetwork, let_through, pad_even
from tatsnet.network.tasks import Task, check_task
from tatsnet.runtimes.api import Compiled, Runtime
from tatsnet.runtimes.torch.layers import start

TASKS = 27
"""So many tasks have sections of their own."""


class DenseRestorer:
    """Makes effects with the whole super network: its sections are compiled as an extracted network's are.

    Every task has one of its own, with its residual scales in the weights.

    Args:
        network: the super network; its weights are copied.
        runtime: what runs it.
    """

    def __init__(self, network: SuperNetwork, runtime: Runtime) -> None:
        config, convs = network.config, convolutions(network.config)
        pattern = (tuple(range(config.width)),) * config.points
        weights = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
        tensors = slice_section(weights, config, convs, pattern, shared=False)

        plan = plan_section(convs, pattern)

        @lru_cache(TASKS)
        def section(task: Task) -> Compiled:
            return runtime.compile(plan, with_scales(tensors, task))

        self._section, self._runtime, self._zero_task = section, runtime, config.zero_task
        self._scale_weight, self._scale_bias = (
            weights[f"global_scale.{kind}"].to(runtime.device) for kind in ("weight", "bias")
        )

    @torch.inference_mode()
    def effects(self, image_BCHW: Tensor, tasks: Sequence[Sequence[float]]) -> Iterator[Tensor]:
        """One effect after the other, B x 3 x H x W, not clamped.

        Args:
            image_BCHW: RGB in [0, 1], any height and width from 1.
            tasks: task vectors in [0, 1]^3.

        Raises:
            ValueError: not task vectors, or weights of a precision that the runtime does not know.
        """
        height, width = image_BCHW.shape[-2:]
        image = pad_even(image_BCHW.to(self._scale_bias)).contiguous(memory_format=self._runtime.image_layout)
        for task in map(check_task, tasks):
            task_D = image.new_tensor(task)
            hidden = self._section(task)(start(image), task_D).hidden_BCHW
            scale = let_through(self._scale_weight @ task_D + self._scale_bias, task_D, self._zero_task)
            yield self._runtime.add_scaled(image, scale, hidden)[..., :height, :width]
