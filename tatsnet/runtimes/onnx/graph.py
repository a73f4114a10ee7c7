"""A section as an ONNX graph: nodes for its convolutions, with the very weights that PyTorch would run.

Height and width are open, the batch is one image. A convolution that reads or writes every live channel needs no
gather and no scatter. Shapes: C channels, D degradation types (3), O a convolution's kept outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.architecture import Role
from tatsnet.network.section_plan import Layer, SectionPlan
from tatsnet.network.supernet import MEAN_COLOUR
from tatsnet.network.tasks import AXES
from tatsnet.runtimes.onnx.nodes import Nodes


class SectionGraph:
    """Adds a section's nodes to a graph; `stream` and `hidden` are then the names of what it makes.

    Args:
        nodes: of the graph.
        plan, tensors: as of `Section`.
        image: name of the padded image in the graph. `stream`, `hidden` and `task` are read by these names.

    Attributes:
        stream, hidden: names of the results; None for a tensor of no channels.
        taken: name of the incoming stream's live channels; None where there are none.
        adds_unscaled: some block adds a convolution's result to the stream, without a scale in between.
    """

    def __init__(self, nodes: Nodes, plan: SectionPlan, tensors: Mapping[str, Tensor], image: str = "image") -> None:
        self._nodes, self._plan, self._tensors, self._image = nodes, plan, tensors, image
        self._sized: str | None = None  # some tensor of the present height and width
        self.hidden: str | None = None
        self.stream: str | None = None
        self._start()
        self.taken = self.stream
        self._scales = self._make_scales()
        leaves = [layer for layer in plan.layers if layer.role is Role.LEAVE]
        self.adds_unscaled = any(layer.name not in self._scales for layer in leaves)
        for layer in plan.layers:
            self._step(layer)(layer)
        if not plan.hidden_out:
            self.hidden = None

    def _start(self) -> None:
        plan = self._plan
        if plan.hidden_in:
            self.hidden = self._sized = "hidden"
        if plan.incoming:
            self._sized = "stream"
        if plan.take:
            self.stream = "stream"
            if plan.takes_some:
                self.stream = self._nodes.add("Gather", self.stream, self._nodes.integers(*plan.take), axis=1)
            self._extend()

    def _extend(self) -> None:
        """Room for channels that a block writes first: they come last, and start at zero."""
        if self._plan.room and self.stream is not None:
            integers = self._nodes.integers
            self.stream = self._nodes.add("Pad", self.stream, integers(0, self._plan.room), "", integers(1))

    def _step(self, layer: Layer) -> Callable[[Layer], None]:
        match layer.role:
            case Role.HEAD:
                return self._head
            case Role.ENTER:
                return self._enter
            case Role.LEAVE:
                return self._leave
            case Role.TAIL:
                return self._tail
            case Role.UP:
                return self._up
            case Role.OUT:
                return self._out

    def _make_scales(self) -> dict[str, str]:
        """Every block's residual scale, 1 x O x 1 x 1: a 1x1 convolution of the task vector.

        The multiplication then has two convolutions' results before it, and OpenVINO leaves both as they lie in memory;
        after a product of matrices it would rearrange the image before and after.
        """
        scaled = [layer for layer in self._plan.layers if f"{layer.name}.scale_weight" in self._tensors]
        if not scaled:
            return {}
        task = self._nodes.add("Reshape", "task", self._nodes.integers(1, len(AXES), 1, 1))
        return {layer.name: self._scale(layer, task) for layer in scaled}

    def _scale(self, layer: Layer, task: str) -> str:
        order = _by_place(layer)
        weight_OD, bias_O = (self._tensors[f"{layer.name}.{kind}"][order] for kind in ("scale_weight", "scale_bias"))
        weights = self._nodes.weights(weight_OD[:, :, None, None])
        return self._nodes.add("Conv", task, weights, self._nodes.weights(bias_O), kernel_shape=[1, 1])

    def _head(self, layer: Layer) -> None:
        weight, bias = self._weights(layer)
        mean = self._nodes.weights(torch.tensor(MEAN_COLOUR))
        if layer.outputs:
            image = self._nodes.add("Sub", self._image, mean)
            self.stream = self._sized = self._convolve(image, weight, bias, stride=2)
            self._extend()

    def _enter(self, layer: Layer) -> None:
        weight, bias = self._weights(layer)
        self.hidden = self._relu(self._convolve(*self._read(layer, weight), bias))

    def _leave(self, layer: Layer) -> None:
        """Hidden, times the residual scale, is added to the stream."""
        weight, bias = self._weights(layer)
        order = _by_place(layer)
        added = self._convolve(self.hidden, weight[order], bias[order])
        assert added is not None
        if layer.name in self._scales:
            added = self._nodes.add("Mul", added, self._scales[layer.name])
        self._add(added, sorted(layer.stream))
        self.hidden = None

    def _add(self, added: str, places: Sequence[int]) -> None:
        if len(places) == len(self._plan.live):
            self.stream = added if self.stream is None else self._nodes.add("Add", self.stream, added)
        else:
            rows = self._nodes.add("Squeeze", added, self._nodes.integers(0))
            planes = self._nodes.add("Squeeze", self._filled(), self._nodes.integers(0))
            where = self._nodes.table(places)
            planes = self._nodes.add("ScatterND", planes, where, rows, reduction="add")
            self.stream = self._nodes.add("Unsqueeze", planes, self._nodes.integers(0))
        self._sized = self.stream

    def _tail(self, layer: Layer) -> None:
        weight, bias = self._weights(layer)
        x, weight = self._read(layer, weight)
        pixels = self._convolve(x, _phases_first(weight), _phases_first(bias))
        assert pixels is not None
        self.hidden = self._sized = self._to_full(pixels)
        self.stream = None

    def _up(self, layer: Layer) -> None:
        self.hidden = self._relu(self._convolve(self.hidden, *self._weights(layer)))

    def _out(self, layer: Layer) -> None:
        """The four pixels of a 2x2 square as twelve channels: three would leave most of a processor's lanes idle."""
        weight, bias = self._weights(layer)
        if self.hidden is None:
            self.hidden = self._spread(bias)
            return
        inputs = self._nodes.weights(_four_pixels(weight)), self._nodes.weights(bias.repeat(4))
        four = self._nodes.add("Conv", self.hidden, *inputs, kernel_shape=[4, 4], pads=[1, 1, 1, 1], strides=[2, 2])
        self.hidden = self._to_full(four)

    def _to_full(self, pixels: str) -> str:
        """Channels, all of one place in the 2x2 square after those of another, become pixels."""
        return self._nodes.add("DepthToSpace", pixels, blocksize=2, mode="DCR")

    def _weights(self, layer: Layer) -> tuple[Tensor, Tensor]:
        return self._tensors[f"{layer.name}.weight"], self._tensors[f"{layer.name}.bias"]

    def _read(self, layer: Layer, weight: Tensor) -> tuple[str | None, Tensor]:
        """What a convolution reads of the stream, and its weights with the columns in that order."""
        weight = weight[:, _by_place(layer)]
        if not layer.stream:
            return None, weight
        if len(layer.stream) == len(self._plan.live):
            return self._filled(), weight
        return self._nodes.add("Gather", self._filled(), self._nodes.integers(*sorted(layer.stream)), axis=1), weight

    def _filled(self) -> str:
        """The stream, as zeros where nothing has been written yet."""
        if self.stream is None:
            self.stream = self._spread(torch.zeros(len(self._plan.live)))
        return self.stream

    def _convolve(self, x: str | None, weight: Tensor, bias: Tensor, stride: int = 1) -> str | None:
        """3x3 convolution; its bias where there are no inputs, None where there are no outputs."""
        if not len(bias):
            return None
        if x is None:
            return self._spread(bias)
        inputs = x, self._nodes.weights(weight), self._nodes.weights(bias)
        return self._nodes.add("Conv", *inputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride, stride])

    def _spread(self, values: Tensor) -> str:
        """One value per channel, over the present height and width."""
        integers = self._nodes.integers
        if self._sized is not None:
            size = self._nodes.add("Shape", self._sized, start=2)
        else:
            size = self._nodes.add("Div", self._nodes.add("Shape", self._image, start=2), integers(2))
        shape = self._nodes.add("Concat", integers(1, len(values)), size, axis=0)
        return self._nodes.add("Expand", self._nodes.weights(values.view(1, -1, 1, 1)), shape)

    def _relu(self, x: str | None) -> str | None:
        return None if x is None else self._nodes.add("Relu", x)


def _by_place(layer: Layer) -> list[int]:
    """A layer's stream channels in the order in which they lie in the stream."""
    return sorted(range(len(layer.stream)), key=layer.stream.__getitem__)


def _phases_first(rows: Tensor) -> Tensor:
    """Rows that PixelShuffle reads channel by channel, four places each, in the order of places: whole runs of
    channels then move at once."""
    return rows.view(len(rows) // 4, 4, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)


def _four_pixels(weight_OCKK: Tensor) -> Tensor:
    """A 3x3 kernel at each place of a 2x2 square, as rows of one 4x4 kernel of stride 2."""
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    return torch.cat([F.pad(weight_OCKK, (column, 1 - column, row, 1 - row)) for row, column in places])
