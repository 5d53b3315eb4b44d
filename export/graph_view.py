"""Looking things up in an ONNX graph: who makes a value, its shape, the constants behind it. Only numpy and onnx."""

import numpy as np
import onnx
import onnx.helper
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError


class GraphView:
    """A graph, indexed; it must not change while it is looked at.

    Attributes:
        nodes: The nodes, in their order.
        constant_bytes: The size of the content of each initializer, in bytes.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.constant_bytes = {name: _content_bytes(t) for name, t in self._initializers.items()}
        self._producers = {value: node for node in graph.node for value in node.output}
        self._behind = {name: frozenset([name]) for name in self._initializers}
        for node in graph.node:
            parts = [self.constants_behind(name) for name in node.input if name]
            if parts and all(parts):
                self._behind |= dict.fromkeys(node.output, frozenset().union(*parts))
        self._types = {v.name: v.type for v in (*graph.input, *graph.value_info, *graph.output)}

    def producer(self, value: str) -> onnx.NodeProto | None:
        """The node that gives a value; None for an input or an initializer."""
        return self._producers.get(value)

    def is_made_by(self, value: str, op_type: str, domain: str = "") -> bool:
        """Whether a value is the output of that operator."""
        node = self.producer(value)
        return node is not None and (node.domain, node.op_type) == (domain, op_type)

    def before(self, value: str, op_type: str) -> str:
        """The first input of the node that gives `value`, where that is such an operator; else `value`."""
        node = self.producer(value)
        return node.input[0] if node is not None and node.op_type == op_type else value

    def is_constant(self, value: str) -> bool:
        """Whether a value is an initializer."""
        return value in self._initializers

    def constant(self, value: str) -> NDArray[np.generic]:
        """The content of an initializer."""
        content: NDArray[np.generic] = onnx.numpy_helper.to_array(self._initializers[value])
        return content

    def constants_behind(self, value: str) -> frozenset[str]:
        """The initializers that a value is made of, where it depends on no input of the graph; else none."""
        return self._behind.get(value, frozenset())

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value for one input: a free axis is 1.

        Raises:
            ArtifactError: The file does not say.
        """
        if self.is_constant(value):
            return tuple(self._initializers[value].dims)
        if value not in self._types or not self._types[value].tensor_type.HasField("shape"):
            raise ArtifactError(
                f"expected a file that holds the shape of each value, but that of {value!r} is missing"
            )
        return tuple(
            d.dim_value if d.HasField("dim_value") else 1
            for d in self._types[value].tensor_type.shape.dim
        )


def attribute(node: onnx.NodeProto, name: str, default: object = None) -> object:
    """The value of an attribute."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def _content_bytes(tensor: onnx.TensorProto) -> int:
    bits = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(np.prod(tensor.dims, dtype=np.int64)) * bits
