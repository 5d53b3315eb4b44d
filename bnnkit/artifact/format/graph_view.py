"""Looking things up in an ONNX graph, with numpy and onnx alone."""

from math import prod
from typing import Any

import onnx
import onnx.helper
from numpy.typing import NDArray
from onnx import numpy_helper

from bnnkit.artifact.format.constants import SAMPLING_INPUTS
from bnnkit.errors import ArtifactError


class UnknownShapeError(ArtifactError):
    """A file does not tell the shape of a value."""


class GraphView:
    """A graph, indexed; it must not change while it is looked at.

    Attributes:
        nodes: The nodes, in their order.
        constant_bytes: The size of the content of each constant, in bytes. The defaults of the
            inputs that choose random numbers are none.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        choices = {value.name for value in graph.input}.intersection(SAMPLING_INPUTS)
        self.constant_bytes = {
            tensor.name: _content_bytes(tensor)
            for tensor in graph.initializer
            if tensor.name not in choices
        }
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {value: node for node in graph.node for value in node.output}
        self._shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            if _is_known(value.type.tensor_type):
                self._shapes[value.name] = _shape_for_one(value.type.tensor_type.shape)
        self._behind = {name: frozenset([name]) for name in self.constant_bytes}
        for node in graph.node:
            parts = [
                self.constants_behind(name)
                for name in node.input
                if name and name not in choices  # a chosen draw of constants is constant too
            ]
            if parts and all(parts):
                self._behind |= dict.fromkeys(node.output, frozenset[str]().union(*parts))

    def producer(self, value: str) -> onnx.NodeProto | None:
        """The node that gives a value; None for an input or an initializer."""
        return self._producers.get(value)

    def is_made_by(self, value: str, op_type: str, domain: str = "") -> bool:
        """Whether a value is the output of that operator."""
        node = self.producer(value)
        return node is not None and (node.domain, node.op_type) == (domain, op_type)

    def before(self, value: str, op_type: str) -> str:
        """The first input of the operator that gives `value`; `value` where another one does."""
        node = self.producer(value)
        return node.input[0] if node is not None and node.op_type == op_type else value

    def is_constant(self, value: str) -> bool:
        """Whether a value is an initializer."""
        return value in self.constant_bytes

    def constant(self, value: str) -> NDArray[Any]:
        """The content of a constant."""
        return numpy_helper.to_array(self._tensors[value])

    def constants_behind(self, value: str) -> frozenset[str]:
        """The initializers that a value is made of; none where it depends on an input."""
        return self._behind.get(value, frozenset())

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value for one input: a free axis, the batch, is 1.

        Raises:
            UnknownShapeError: The file does not say.
        """
        if value not in self._shapes:
            raise UnknownShapeError(
                f"expected a file that holds the shape of each value, that of {value!r} is missing"
            )
        return self._shapes[value]


def attribute(node: onnx.NodeProto, name: str, default: object = None) -> object:
    """The value of an attribute."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def _is_known(tensor: onnx.TypeProto.Tensor) -> bool:
    """Whether all sizes are given but one, the batch."""
    n_free = sum(not axis.HasField("dim_value") for axis in tensor.shape.dim)
    return tensor.HasField("shape") and n_free <= 1


def _shape_for_one(shape: onnx.TensorShapeProto) -> tuple[int, ...]:
    return tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in shape.dim)


def _content_bytes(tensor: onnx.TensorProto) -> int:
    element = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(prod(tensor.dims) * element.itemsize)
