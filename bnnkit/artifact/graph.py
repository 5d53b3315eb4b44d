"""An ONNX graph as plain data: nodes in order, constants as arrays, shapes without the batch."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator.

    Attributes:
        kind: Its type, with the domain where it is not the standard one: "Conv", "bnnkit.Sign".
        name: Unique in the graph, for messages.
        inputs: Value names; an empty one is an input left out.
        outputs: Value names.
        attributes: Ints, floats, strings, or lists of them.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network.

    Attributes:
        input: Name of the one input.
        input_dtype: Its element type.
        input_shape: Its shape without the batch, such as (C, H, W).
        outputs: Names of the outputs.
        nodes: In an order in which they can be executed.
        constants: Arrays by value name.
    """

    input: str
    input_dtype: np.dtype[Any]
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    _readers: dict[str, list[Node]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for node in self.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)

    @cached_property
    def makers(self) -> dict[str, Node]:
        """The node that computes each value."""
        return {output: node for node in self.nodes for output in node.outputs}

    def readers(self, name: str) -> list[Node]:
        """Nodes that take the value as an input."""
        return self._readers.get(name, [])

    def sole_reader(self, name: str) -> Node | None:
        """The only node that needs the value, or None if there are more or it is an output."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def from_model(model: onnx.ModelProto) -> Graph:
    """Read a graph.

    Raises:
        ArtifactError: A constant is damaged.
        UnsupportedError: There is not exactly one input, or a free size behind the batch.
    """
    constants = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
    nodes: list[Node] = []
    names: set[str] = set()
    for index, proto in enumerate(model.graph.node):
        node = _node(proto, index)
        if node.name in names:  # ONNX does not ask for names of their own
            node = replace(node, name=f"{node.name}#{index}")
        names.add(node.name)
        if node.kind == "Constant":
            constants[node.outputs[0]] = _constant(node)
        else:
            nodes.append(node)
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise UnsupportedError(f"expected a model with one input, this one has {len(inputs)}")
    dtype, shape = _type_of(inputs[0])
    return Graph(
        input=inputs[0].name,
        input_dtype=dtype,
        input_shape=shape,
        outputs=tuple(value.name for value in model.graph.output),
        nodes=tuple(nodes),
        constants=constants,
    )


def _node(proto: onnx.NodeProto, index: int) -> Node:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    kind = f"{domain}.{proto.op_type}" if domain else proto.op_type
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    return Node(
        kind=kind,
        name=proto.name or f"{proto.op_type}_{index}",
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=attributes,
    )


def _array(tensor: onnx.TensorProto) -> NDArray[Any]:
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"the constant {tensor.name!r} is damaged: {error}") from error


def _constant(node: Node) -> NDArray[Any]:
    """The array of a Constant node, whichever of its attributes holds it."""
    ((name, value),) = node.attributes.items()
    if isinstance(value, onnx.TensorProto):
        return _array(value)
    return np.asarray(value, np.float32 if "float" in name else np.int64)


def _type_of(value: onnx.ValueInfoProto) -> tuple[np.dtype[Any], tuple[int, ...]]:
    tensor = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    if not dims or any(size < 1 for size in dims[1:]):
        raise UnsupportedError(
            f"expected only the first axis of the input {value.name!r}, the batch, to be free,"
            f" got the shape {tuple(dims)}, where 0 is free"
        )
    return onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), tuple(dims[1:])
