"""A section as calls of the kernels; it equals `Section` of the same arguments.

Two convolutions with nothing between them but a ReLU are one call where they are narrow enough: a block that reads and
writes every channel of its stream, and up with out. Shapes: D degradation types (3), O a convolution's kept outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import Layer, Places, SectionPlan
from tatsnet.network.tasks import AXES
from tatsnet.runtimes.torch.layers import State
from tatsnet.runtimes.triton import layers as steps
from tatsnet.runtimes.triton.calls import Launch
from tatsnet.runtimes.triton.operations import Packed, pack
from tatsnet.runtimes.triton.tiles import PAIRED, block_out

Step = Callable[[steps.Now], steps.Now]


class FusedSection:
    """Consecutive convolutions, run by the kernels.

    Args:
        plan, tensors: as of `Section`.
        device: where it runs.
        precision: of weights, stream and products; sums and scales are float32.
        launch: runs a kernel there.
    """

    def __init__(
        self,
        plan: SectionPlan,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        precision: torch.dtype,
        launch: Launch,
    ) -> None:
        self._precision = precision
        lowered = _Lowered(plan, tensors, device, precision, launch)
        self._steps = lowered.steps
        self._scale_weight, self._scale_bias, self._widths = lowered.scales()

    def __call__(self, state: State, task_D: Tensor) -> State:
        """Run the section's convolutions."""
        image, stream, hidden = (tensor.permute(0, 2, 3, 1) for tensor in state[:3])
        stream, hidden = (tensor.contiguous().to(self._precision) for tensor in (stream, hidden))
        now = steps.Now(image, stream, hidden, state.owned, self._scales(task_D))
        for step in self._steps:
            now = step(now)
        stream, hidden = (tensor.permute(0, 3, 1, 2) for tensor in (now.stream_BHWC, now.hidden_BHWC))
        return State(state.image_BCHW, stream, hidden, now.owned)

    def _scales(self, task_D: Tensor) -> Sequence[Tensor]:
        if not self._widths:
            return ()
        scales_L = torch.addmv(self._scale_bias, self._scale_weight, task_D.float())
        return torch.split_with_sizes(scales_L, self._widths)


class _Lowered:
    """The steps of a section, first to last; arguments as of `FusedSection`."""

    def __init__(
        self,
        plan: SectionPlan,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        precision: torch.dtype,
        launch: Launch,
    ) -> None:
        self._tensors = tensors
        self._device, self._precision, self._launch = device, precision, launch
        self._scales: list[tuple[Tensor, Tensor]] = []
        self.steps: list[Step] = []
        self._take = self._places(plan.take) if plan.takes_some else None
        room = plan.room
        rest = list(plan.layers)
        while rest:
            layer = rest.pop(0)
            if layer.role is not Role.HEAD and room:
                self._select()
                self.steps.append(steps.Extend(room))
                room = 0
            if rest and self._is_pair(layer, rest[0]):
                self.steps.append(self._pair(layer, rest.pop(0)))
            else:
                self._select()
                self.steps.append(self._single(layer))

    def scales(self) -> tuple[Tensor, Tensor, list[int]]:
        """Weight and bias of all residual scales in one, and how many numbers each has, padding included."""
        weights = [F.pad(weight, (0, 0, 0, block_out(len(bias)) - len(bias))) for weight, bias in self._scales]
        biases = [F.pad(bias, (0, block_out(len(bias)) - len(bias))) for _, bias in self._scales]
        none = torch.zeros(0, len(AXES), device=self._device)
        return torch.cat([none, *weights]), torch.cat([none[:, 0], *biases]), [len(bias) for bias in biases]

    def _select(self) -> None:
        """From here on the stream has the useful channels only."""
        if self._take is not None:
            self.steps.append(steps.Select(self._take))
            self._take = None

    def _is_pair(self, first: Layer, second: Layer) -> bool:
        is_block = first.role is Role.ENTER and first.whole and second.whole
        if not is_block and first.role is not Role.UP:
            return False
        numbers = first.inputs, first.outputs
        return all(numbers) and block_out(max(numbers)) <= PAIRED[self._precision]

    def _pair(self, first: Layer, second: Layer) -> Step:
        one = self._packed(first)
        two = self._packed(second, one.block_out)
        if first.role is Role.UP:
            return steps.FinishTwice(self._launch, one, two)
        take, self._take = self._take, None
        return steps.Block(self._launch, one, two, take, self._scale(second))

    def _single(self, layer: Layer) -> Step:
        own = self._packed(layer)
        places = None if layer.whole else self._places(layer.stream)
        match layer.role:
            case Role.HEAD:
                return steps.Head(self._launch, own)
            case Role.ENTER:
                return steps.Enter(self._launch, own, places)
            case Role.LEAVE:
                return steps.Leave(self._launch, own, places, self._scale(layer))
            case Role.TAIL:
                return steps.Tail(self._launch, own, places)
            case Role.UP | Role.OUT:
                return steps.Finish(self._launch, own, layer.role is Role.UP)

    def _packed(self, layer: Layer, padded_in: int | None = None) -> Packed:
        weight, bias = self._tensors[f"{layer.name}.weight"], self._tensors[f"{layer.name}.bias"]
        if layer.role is Role.TAIL:
            order = torch.arange(len(bias), device=bias.device).view(-1, 4).t().flatten()
            weight, bias = weight[order], bias[order]
        return pack(weight, bias, self._precision, self._device, padded_in)

    def _scale(self, layer: Layer) -> int | None:
        """The index of a block's residual scale; None where it is in the weights already."""
        if f"{layer.name}.scale_weight" not in self._tensors:
            return None
        weight, bias = (self._tensors[f"{layer.name}.scale_{kind}"] for kind in ("weight", "bias"))
        self._scales.append((weight.to(self._device, torch.float32), bias.to(self._device, torch.float32)))
        return len(self._scales) - 1

    def _places(self, places: Places) -> Tensor:
        return torch.tensor(places, dtype=torch.int32, device=self._device)
