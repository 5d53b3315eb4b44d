"""Look-ups in an ONNX graph, which need only numpy and onnx."""

from math import prod
from typing import Any

import onnx
import onnx.helper
from numpy.typing import NDArray
from onnx import numpy_helper

from bnnkit.artifact.format.constants import SAMPLING_INPUTS
from bnnkit.errors import ArtifactError


class UnknownShapeError(ArtifactError):
    """A file that does not state the shape of a value."""


class GraphView:
    """An index of a graph; the graph must not change meanwhile.

    Attributes:
        nodes: The nodes, in order.
        constant_bytes: The size of each constant in bytes, by name. The defaults of the inputs
            that choose random numbers do not count as constants.
        unsigned_inputs: Inputs of type uint8.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        choices = {value.name for value in graph.input}.intersection(SAMPLING_INPUTS)
        self.constant_bytes = {
            tensor.name: _content_bytes(tensor)
            for tensor in graph.initializer
            if tensor.name not in choices
        }
        self.unsigned_inputs = {
            value.name
            for value in graph.input
            if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
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
        """Return the node that computes a value; None for an input or an initializer."""
        return self._producers.get(value)

    def is_made_by(self, value: str, op_type: str, domain: str = "") -> bool:
        """Return whether a value is the output of an operator."""
        node = self.producer(value)
        return node is not None and (node.domain, node.op_type) == (domain, op_type)

    def before(self, value: str, op_type: str) -> str:
        """Return the first input of `op_type` if it computes `value`, else `value`."""
        node = self.producer(value)
        return node.input[0] if node is not None and node.op_type == op_type else value

    def is_constant(self, value: str) -> bool:
        """Return whether a value is an initializer."""
        return value in self.constant_bytes

    def varying(self, node: onnx.NodeProto) -> list[str]:
        """Return the inputs of a node that are not initializers."""
        return [name for name in node.input if name and not self.is_constant(name)]

    def constant(self, value: str) -> NDArray[Any]:
        """Return the content of a constant."""
        return numpy_helper.to_array(self._tensors[value])

    def constants_behind(self, value: str) -> frozenset[str]:
        """Return the initializers that a value depends on; none if it depends on an input too."""
        return self._behind.get(value, frozenset())

    def shape(self, value: str) -> tuple[int, ...]:
        """Return the shape of a value for one input: the free batch axis is 1.

        Raises:
            UnknownShapeError: If the file does not state the shape.
        """
        if value not in self._shapes:
            raise UnknownShapeError(
                f"expected a file that holds the shape of each value, that of {value!r} is missing"
            )
        return self._shapes[value]


def attribute(node: onnx.NodeProto, name: str, default: object = None) -> object:
    """Return the value of an attribute."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def _is_known(tensor: onnx.TypeProto.Tensor) -> bool:
    """Return whether all sizes except that of the batch are stated."""
    n_free = sum(not axis.HasField("dim_value") for axis in tensor.shape.dim)
    return tensor.HasField("shape") and n_free <= 1


def _shape_for_one(shape: onnx.TensorShapeProto) -> tuple[int, ...]:
    return tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in shape.dim)


def _content_bytes(tensor: onnx.TensorProto) -> int:
    element = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(prod(tensor.dims) * element.itemsize)
