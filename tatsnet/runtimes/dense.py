"""The super network in a runtime, every channel kept: what an extracted network is compared with in fairness.

Shapes: B batch, H height, W width, D degradation types (3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from tatsnet.network.architecture import NetworkConfig, convolutions
from tatsnet.network.section_plan import plan_section
from tatsnet.network.slicing import slice_section, with_scales
from tatsnet.network.supernet import SuperNetwork, let_through, pad_even
from tatsnet.network.tasks import Task, check_task
from tatsnet.runtimes.api import Compiled, Runtime
from tatsnet.runtimes.bands import BAND_BYTES, IMAGES, bytes_per_row, run_within
from tatsnet.runtimes.torch.layers import start

TASKS = 27
"""So many tasks have sections of their own."""


def held_bytes(network: NetworkConfig, height: int, width: int) -> float:
    """What an effect of the super network holds at its fullest, in float32: an estimate from above, of any runtime."""
    per_row = bytes_per_row(convolutions(network), network.whole, (), width, torch.float32.itemsize)
    state = 2 * network.width // 4 + 3 * IMAGES
    return torch.float32.itemsize * height * width * state + min(height / 2 * per_row, BAND_BYTES)


class DenseRestorer:
    """Makes effects with the whole super network: its sections are compiled as an extracted network's are.

    Every task has one of its own, with its residual scales in the weights.

    Args:
        network: the super network; its weights are copied.
        runtime: what runs it.
        band_bytes: images are run in bands of rows so that the convolutions hold about so much at a time.
    """

    def __init__(self, network: SuperNetwork, runtime: Runtime, band_bytes: float = BAND_BYTES) -> None:
        config, convs = network.config, convolutions(network.config)
        pattern = config.whole
        weights = {name: weight.detach().clone() for name, weight in network.state_dict().items()}
        tensors = slice_section(weights, config, convs, pattern, shared=False)

        plan = plan_section(convs, pattern)

        @lru_cache(TASKS)
        def section(task: Task) -> Compiled:
            return runtime.compile(plan, with_scales(tensors, task))

        self._section = section
        self._run = partial(run_within, band_bytes, convs=convs, pattern=pattern, incoming=())
        self._runtime, self._zero_task = runtime, config.zero_task
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
            hidden = self._run(self._section(task), state=start(image), task_D=task_D).hidden_BCHW
            scale = let_through(self._scale_weight @ task_D + self._scale_bias, task_D, self._zero_task)
            yield self._runtime.add_scaled(image, scale, hidden)[..., :height, :width]
