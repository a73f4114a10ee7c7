"""The CResMD-type super network with its channel-selection points (paper section 7.3, Figure 3).

Shapes: B batch, C channels, H height, W width, D degradation types (3), N selection points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tatsnet.network.architecture import NetworkConfig
from tatsnet.network.compute import EXACT, Compute
from tatsnet.network.compute import cast as in_precision
from tatsnet.network.gated_blocks import Convolution, gated_block, gated_blocks, gated_blocks_by_kernels, gated_pair
from tatsnet.network.tasks import AXES, ZeroTask, onset

MEAN_TASK = 0.5
"""Where a shared block's residual scaling is fixed: it folds into the convolution, so the module is gone."""

GAIN = 0.3
"""Start of the convolutions' weights as a share of Kaiming's: deep stacks begin near the identity."""

MEAN_COLOUR = 0.5
"""Taken off the input, so that the zeros of a convolution's border are mid-grey."""


class Block(nn.Module):
    """Convolution, ReLU, convolution; the scaling and the skip are the super network's."""

    conv1: nn.Conv2d
    conv2: nn.Conv2d

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)


class SuperNetwork(nn.Module):
    """Restores an image by a task vector; channels can be switched off at N selection points.

    Args:
        config: width and blocks.
        generator: draws the weights; the global generator without one.
    """

    def __init__(self, config: NetworkConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.head = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(config.blocks))
        self.tail = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.Conv2d(width // 4, width, 3, padding=1)
        self.out = nn.Conv2d(width, 3, 3, padding=1)
        self.local_scale = nn.Linear(len(AXES), config.blocks * width)
        self.global_scale = nn.Linear(len(AXES), 3)
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, generator=generator)
                module.weight.mul_(GAIN)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for scale, bias in ((self.local_scale, 0.5), (self.global_scale, 1.0)):
            nn.init.uniform_(scale.weight, -0.3, 0.3, generator=generator)
            nn.init.constant_(scale.bias, bias)

    def scales(self, task_BD: Tensor, shared_N: Tensor | None = None) -> Tensor:
        """Residual scales, B x blocks x C; a shared block's is fixed at the mean task."""
        blocks, width = self.config.blocks, self.config.width
        if shared_N is None:
            return cast(Tensor, self.local_scale(task_BD)).view(-1, blocks, width)
        with_mean = self.local_scale(F.pad(task_BD, (0, 0, 0, 1), value=MEAN_TASK)).view(-1, blocks, width)
        scale, fixed = with_mean.split_with_sizes([len(task_BD), 1])
        return torch.lerp(scale, fixed, shared_N[3 : 3 * blocks + 1 : 3, None].to(scale.dtype))

    def residual_scale(self, task_BD: Tensor) -> Tensor:
        """The global residual's scale by colour, B x 3."""
        scale: Tensor = self.global_scale(task_BD)
        return let_through(scale, task_BD, self.config.zero_task)

    def forward(
        self,
        image_BCHW: Tensor,
        task_BD: Tensor,
        gates_BNC: Tensor | None = None,
        shared_N: Tensor | None = None,
        compute: Compute = EXACT,
    ) -> Tensor:
        """Restore.

        Args:
            image_BCHW: RGB in [0, 1], any height and width.
            task_BD: task vectors in [0, 1].
            gates_BNC: 1 keeps a channel, 0 removes it; None keeps all.
            shared_N: True where a selection point is task-agnostic; None shares nothing.
            compute: precision of the convolutions.

        Returns:
            The restored image, the input's shape and precision; not clamped.
        """
        height, width = image_BCHW.shape[-2:]
        padded = pad_even(image_BCHW)
        residual = self._residual(padded, self.scales(task_BD, shared_N), gates_BNC, compute)
        restored: Tensor = padded + self.residual_scale(task_BD)[..., None, None] * residual
        return restored[..., :height, :width]

    def _residual(self, image: Tensor, scales_BKC: Tensor, gates_BNC: Tensor | None, compute: Compute) -> Tensor:
        dtype = compute.dtype or image.dtype
        head, *inner, tail, up, out = self._convolutions(dtype)
        stream = F.conv2d((image - MEAN_COLOUR).to(dtype), *head, stride=2, padding=1)
        if gates_BNC is None:
            plain = compute.kernel(dense_block)
            scales = scales_BKC.to(dtype)[..., None, None].unbind(1)
            for first, second, scale in zip(inner[::2], inner[1::2], scales, strict=True):
                stream = plain(stream, *first, *second, scale)
        else:
            before_BNC, up_B1C = gates_BNC.split_with_sizes([gates_BNC.shape[1] - 1, 1], dim=1)
            if compute.compiled:
                block = compute.kernel(gated_block)
                stream = gated_blocks_by_kernels(stream, before_BNC, scales_BKC, inner, block)
            else:
                stream = gated_blocks(stream, before_BNC, scales_BKC, inner)
        shuffled = F.pixel_shuffle(F.conv2d(stream, *tail, padding=1), 2)
        if gates_BNC is None:
            return F.conv2d(F.relu(F.conv2d(shuffled, *up, padding=1)), *out, padding=1)
        return gated_pair(shuffled, up_B1C.squeeze(1), up, out)

    def _convolutions(self, dtype: torch.dtype) -> list[Convolution]:
        blocks = cast(Sequence[Block], self.blocks)
        inner = [conv for block in blocks for conv in (block.conv1, block.conv2)]
        convs = [self.head, *inner, self.tail, self.up, self.out]
        flat = in_precision([cast(Tensor, part) for conv in convs for part in (conv.weight, conv.bias)], dtype)
        return list(zip(flat[::2], flat[1::2], strict=True))


def dense_block(stream: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, scale: Tensor) -> Tensor:
    """Convolution, ReLU, convolution, scale, skip."""
    added = F.conv2d(F.relu(F.conv2d(stream, w1, b1, padding=1)), w2, b2, padding=1)
    return torch.addcmul(stream, added, scale)


def let_through(scale_BC: Tensor, task_BD: Tensor, zero_task: ZeroTask) -> Tensor:
    """The residual's global scale (paper section 7.3), B x 3; 0 at task vector 0 where that is the identity."""
    return scale_BC * onset(task_BD) if zero_task == "identity" else scale_BC


def pad_even(image_BCHW: Tensor) -> Tensor:
    """Pad bottom and right to even sizes by reflection (by repetition where there is one pixel only)."""
    height, width = image_BCHW.shape[-2:]
    if height % 2:
        image_BCHW = F.pad(image_BCHW, (0, 0, 0, 1), "reflect" if height > 1 else "replicate")
    if width % 2:
        image_BCHW = F.pad(image_BCHW, (0, 1, 0, 0), "reflect" if width > 1 else "replicate")
    return image_BCHW
