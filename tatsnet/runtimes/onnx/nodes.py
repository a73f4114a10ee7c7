"""Writes an ONNX graph node by node; every tensor in it gets a name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 18
IR_VERSION = 10
"""Old enough for runtimes of the last years, new enough for ScatterND to add and Pad to name its axes."""

Sides = Sequence[int | str]
"""A tensor's sizes; a name stands for one that is known only when the graph runs."""

Attribute = int | str | list[int]


class Nodes:
    """A graph under construction. Each method returns the name of the tensor that it makes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._integers: dict[tuple[int, ...], str] = {}
        self._count = 0

    def add(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """A node with one output."""
        return self.split(operator, *inputs, outputs=1, **attributes)[0]

    def split(self, operator: str, *inputs: str, outputs: int, **attributes: Attribute) -> list[str]:
        """A node with several outputs."""
        names = [self._name(operator) for _ in range(outputs)]
        node = helper.make_node(operator, list(inputs), names)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return names

    def weights(self, tensor: Tensor) -> str:
        """Numbers as float32."""
        return self._constant(tensor.detach().cpu().float().numpy())

    def integers(self, *values: int) -> str:
        """A vector of integers."""
        if values not in self._integers:
            self._integers[values] = self._constant(np.array(values, np.int64))
        return self._integers[values]

    def scalar(self, value: int) -> str:
        """An integer."""
        return self._constant(np.array(value, np.int64))

    def table(self, places: Sequence[int]) -> str:
        """Integers as a column, as ScatterND wants them."""
        return self._constant(np.array(places, np.int64)[:, None])

    def insert(self, tensor: str, operator: str, *inputs: str, **attributes: Attribute) -> None:
        """A node between a tensor, its first input, and all that read that tensor so far."""
        begin = next((i + 1 for i, node in enumerate(self._nodes) if tensor in node.output), 0)
        readers = self._nodes[begin:]
        made = self.add(operator, tensor, *inputs, **attributes)
        self._nodes.insert(begin, self._nodes.pop())
        for reader in readers:
            reader.input[:] = [made if name == tensor else name for name in reader.input]

    def twin_single_inputs(self) -> None:
        """Convolutions of one channel whose results are added or scaled read it twice, once with weights of zero."""
        weights = {own.name: own for own in self._constants}
        read = {name for node in self._nodes if node.op_type in ("Add", "Mul") for name in node.input}
        for node in [node for node in self._nodes if node.op_type == "Conv" and node.output[0] in read]:
            own = weights[node.input[1]]
            if own.dims[1] != 1 or own.dims[2] == 1:
                continue
            values = numpy_helper.to_array(own)
            twin = self.add("Concat", node.input[0], node.input[0], axis=1)
            self._nodes.insert(self._nodes.index(node), self._nodes.pop())
            node.input[:2] = [twin, self._constant(np.concatenate([values, 0 * values], 1))]

    def reads(self, name: str) -> bool:
        """Whether any node has that tensor as an input."""
        return any(name in node.input for node in self._nodes)

    def model(self, name: str, inputs: Mapping[str, Sides], outputs: Mapping[str, tuple[str, Sides]]) -> bytes:
        """The finished model, checked, as the bytes of its file.

        Args:
            inputs: sizes by name.
            outputs: by the name that users see, the tensor's own name and its sizes.
        """
        for seen, (own, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [own], [seen]))
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, (_, sides) in outputs.items()],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tatsnet"
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _constant(self, values: npt.NDArray[np.generic]) -> str:
        name = self._name("constant")
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}"
