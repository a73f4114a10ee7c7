"""A section as an ONNX graph: nodes for its convolutions, with the very weights that PyTorch would run.

Height and width are open, the batch is one image. Channels that nothing reads any more are left behind at the start;
where a convolution then reads or writes all that travel, there is no gather and no scatter. Shapes: C channels,
D degradation types (3), O a convolution's kept outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tatsnet.network.architecture import Channels, Conv, Pattern, Role
from tatsnet.network.slicing import travelling
from tatsnet.network.supernet import MEAN_COLOUR
from tatsnet.runtimes.onnx.nodes import Nodes


class SectionGraph:
    """Adds a section's nodes to a graph; `stream` and `hidden` are then the names of what it makes.

    Args:
        nodes: of the graph.
        convs, pattern, incoming, tensors: as of `Section`.
        image: name of the padded image in the graph. `stream`, `hidden` and `task` are read by these names.

    Attributes:
        stream, hidden: names of the results; None for a tensor of no channels.
    """

    def __init__(
        self,
        nodes: Nodes,
        convs: Sequence[Conv],
        pattern: Pattern,
        incoming: Channels,
        tensors: Mapping[str, Tensor],
        image: str = "image",
    ) -> None:
        self._nodes, self._pattern, self._tensors, self._image = nodes, pattern, tensors, image
        self._channels = _useful(convs, pattern, travelling(convs, pattern, incoming))
        self._sized: str | None = None  # some tensor of the present height and width
        self.hidden: str | None = None
        self.stream: str | None = None
        if convs and convs[0].name != "head":
            self._start(convs[0], incoming)
            self._lay_out(convs)
        self._scales = self._make_scales(convs)
        steps = {"head": self._head, "tail": self._tail, "up": self._up, "out": self._out}
        for conv in convs:
            steps.get(conv.name, self._leave if conv.writes_stream else self._enter)(conv)

    def _start(self, first: Conv, incoming: Channels) -> None:
        if first.role is Role.UP or (first.writes_stream and self._pattern[first.fan_in or 0]):
            self.hidden = self._sized = "hidden"
        if incoming and first.role is not Role.UP:
            self.stream = self._sized = "stream"
            self._gather_useful(incoming)

    def _gather_useful(self, present: Channels) -> None:
        """Leave useless channels behind; room for those still to be written comes last, and starts at zero."""
        assert self.stream is not None
        useful = [channel for channel in present if channel in self._channels]
        if not useful:
            self.stream = None
            return
        if len(useful) < len(present):
            places = self._nodes.integers(*map(present.index, useful))
            self.stream = self._nodes.add("Gather", self.stream, places, axis=1)
        if room := len(self._channels) - len(useful):
            integers = self._nodes.integers
            self.stream = self._nodes.add("Pad", self.stream, integers(0, room), "", integers(1))

    def _lay_out(self, convs: Sequence[Conv]) -> None:
        """A convolution that changes nothing: it leaves the stream as the blocks' convolutions want it in memory.

        Where a block reads, and adds to, what is no convolution's result, OpenVINO 2026.4 rearranges it for either, and
        then copies the stream in every block before it adds to it. Gathers and scatters want it as it is; where scales
        have a pass of their own, that adds, and nothing is copied.
        """
        points = [conv.fan_out if conv.writes_stream else conv.fan_in for conv in convs if conv.area < 1]
        tied = all(set(self._channels) <= set(self._pattern[point]) for point in points if point is not None)
        adds = any(conv.writes_stream and f"{conv.name}.scale_weight" not in self._tensors for conv in convs)
        if self.stream is not None and tied and adds:
            count = len(self._channels)
            ones = self._nodes.weights(torch.ones(count, 1, 1, 1))
            self.stream = self._nodes.add("Conv", self.stream, ones, kernel_shape=[1, 1], group=count)

    def _make_scales(self, convs: Sequence[Conv]) -> dict[str, str]:
        """Every block's residual scale, 1 x O x 1 x 1: a 1x1 convolution of the task vector.

        The multiplication then has two convolutions' results before it, and OpenVINO leaves both as they lie in memory;
        after a product of matrices it would rearrange the image before and after.
        """
        scaled = [conv for conv in convs if f"{conv.name}.scale_weight" in self._tensors and self._rows(conv)]
        if not scaled:
            return {}
        task = self._nodes.add("Reshape", "task", self._nodes.integers(1, 3, 1, 1))
        return {conv.name: self._scale(conv, task) for conv in scaled}

    def _scale(self, conv: Conv, task: str) -> str:
        weight_OD, bias_O = (
            self._tensors[f"{conv.name}.{kind}"][self._rows(conv)] for kind in ("scale_weight", "scale_bias")
        )
        weights = self._nodes.weights(weight_OD[:, :, None, None])
        return self._nodes.add("Conv", task, weights, self._nodes.weights(bias_O), kernel_shape=[1, 1])

    def _head(self, conv: Conv) -> None:
        weight, bias = self._weights(conv)
        mean = self._nodes.weights(torch.tensor(MEAN_COLOUR))
        written = [channel for channel in self._pattern[0] if channel in self._channels]
        rows = [self._pattern[0].index(channel) for channel in written]
        if rows:
            image = self._nodes.add("Sub", self._image, mean)
            self.stream = self._sized = self._convolve(image, weight[rows], bias[rows], stride=2)
            self._gather_useful(tuple(written))

    def _enter(self, conv: Conv) -> None:
        weight, bias = self._weights(conv)
        self.hidden = self._relu(self._convolve(*self._read(conv, weight), bias))

    def _leave(self, conv: Conv) -> None:
        """Hidden, times the residual scale, is added to the stream."""
        rows = self._rows(conv)
        if rows:
            weight, bias = self._weights(conv)
            added = self._convolve(*self._two_inputs(weight[rows]), bias[rows])
            assert added is not None
            if conv.name in self._scales:
                added = self._nodes.add("Mul", added, self._scales[conv.name])
            self._add(added, self._places(conv.fan_out, rows))
        self.hidden = None

    def _two_inputs(self, weight: Tensor) -> tuple[str | None, Tensor]:
        """The hidden channels and their weights; a single one gets a twin that weighs nothing.

        OpenVINO 2026.4 adds a convolution of one input to another tensor wrongly where both have some 25 numbers.
        """
        if self.hidden is None or weight.shape[1] != 1:
            return self.hidden, weight
        return self._nodes.add("Concat", self.hidden, self.hidden, axis=1), torch.cat([weight, 0 * weight], 1)

    def _add(self, added: str, places: Sequence[int]) -> None:
        if len(places) == len(self._channels):
            self.stream = added if self.stream is None else self._nodes.add("Add", self.stream, added)
        else:
            rows = self._nodes.add("Squeeze", added, self._nodes.integers(0))
            planes = self._nodes.add("Squeeze", self._filled(), self._nodes.integers(0))
            where = self._nodes.table(places)
            planes = self._nodes.add("ScatterND", planes, where, rows, reduction="add")
            self.stream = self._nodes.add("Unsqueeze", planes, self._nodes.integers(0))
        self._sized = self.stream

    def _tail(self, conv: Conv) -> None:
        weight, bias = self._weights(conv)
        x, weight = self._read(conv, weight)
        pixels = self._convolve(x, _phases_first(weight), _phases_first(bias))
        assert pixels is not None
        self.hidden = self._sized = self._to_full(pixels)
        self.stream = None

    def _up(self, conv: Conv) -> None:
        self.hidden = self._relu(self._convolve(self.hidden, *self._weights(conv)))

    def _out(self, conv: Conv) -> None:
        """The four pixels of a 2x2 square as twelve channels: three would leave most of a processor's lanes idle."""
        weight, bias = self._weights(conv)
        if self.hidden is None:
            self.hidden = self._spread(bias)
            return
        inputs = self._nodes.weights(_four_pixels(weight)), self._nodes.weights(bias.repeat(4))
        four = self._nodes.add("Conv", self.hidden, *inputs, kernel_shape=[4, 4], pads=[1, 1, 1, 1], strides=[2, 2])
        self.hidden = self._to_full(four)

    def _to_full(self, pixels: str) -> str:
        """Channels, all of one place in the 2x2 square after those of another, become pixels."""
        return self._nodes.add("DepthToSpace", pixels, blocksize=2, mode="DCR")

    def _weights(self, conv: Conv) -> tuple[Tensor, Tensor]:
        return self._tensors[f"{conv.name}.weight"], self._tensors[f"{conv.name}.bias"]

    def _rows(self, conv: Conv) -> list[int]:
        """The rows of a block's second convolution whose results are of use; all that travel as they travel."""
        kept = {channel: row for row, channel in enumerate(self._pattern[conv.fan_out or 0])}
        return [kept[channel] for channel in self._channels if channel in kept]

    def _places(self, point: int | None, rows: Sequence[int]) -> list[int]:
        return [self._channels.index(self._pattern[point or 0][row]) for row in rows]

    def _read(self, conv: Conv, weight: Tensor) -> tuple[str | None, Tensor]:
        """What a convolution reads of the stream, and its weights with the columns in that order."""
        column = {channel: index for index, channel in enumerate(self._pattern[conv.fan_in or 0])}
        read = [channel for channel in self._channels if channel in column]
        weight = weight[:, [column[channel] for channel in read]]
        if not read:
            return None, weight
        if len(read) == len(self._channels):
            return self._filled(), weight
        places = self._nodes.integers(*(self._channels.index(channel) for channel in read))
        return self._nodes.add("Gather", self._filled(), places, axis=1), weight

    def _filled(self) -> str:
        """The stream, as zeros where nothing has been written yet."""
        if self.stream is None:
            self.stream = self._spread(torch.zeros(len(self._channels)))
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


def _useful(convs: Sequence[Conv], pattern: Pattern, channels: Channels) -> Channels:
    """The channels that have to travel: all, or where the stream ends with the section those that it reads."""
    if not any(conv.role is Role.TAIL for conv in convs):
        return channels
    readers = [conv for conv in convs if conv.area < 1 and conv.role is not Role.HEAD and not conv.writes_stream]
    read = {channel for conv in readers for channel in pattern[conv.fan_in or 0]}
    return tuple(channel for channel in channels if channel in read)


def _phases_first(rows: Tensor) -> Tensor:
    """Rows that PixelShuffle reads channel by channel, four places each, in the order of places: whole runs of
    channels then move at once."""
    return rows.view(len(rows) // 4, 4, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)


def _four_pixels(weight_OCKK: Tensor) -> Tensor:
    """A 3x3 kernel at each place of a 2x2 square, as rows of one 4x4 kernel of stride 2."""
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    return torch.cat([F.pad(weight_OCKK, (column, 1 - column, row, 1 - row)) for row, column in places])
