"""An ONNX graph as plain data: nodes in order, constants as arrays, shapes without the batch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.constants import OPSET
from bnnkit.artifact.format.tensors import is_external
from bnnkit.errors import ArtifactError, UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator.

    Attributes:
        kind: The operator type, with the domain unless it is standard: "Conv", "bnnkit.Sign".
        name: A name that is unique in the graph, for messages.
        inputs: The names of the inputs; "" is an omitted input.
        outputs: The names of the outputs.
        attributes: The attributes by name: ints, floats, strings as bytes, or tuples of
            them; read-only.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input of a network.

    Attributes:
        name: The name.
        dtype: The element type.
        shape: The shape without the batch, such as (C, H, W).
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network that cannot be changed: its mappings and arrays are read-only too.

    Attributes:
        inputs: The inputs, one or more.
        outputs: The names of the outputs.
        nodes: The nodes, in an order in which they can be executed.
        constants: The constants by name.
        opset: The version of the standard operators.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    opset: int = OPSET

    @property
    def input(self) -> str:
        """The name of the first input, which most networks have alone."""
        return self.inputs[0].name

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """The element type of the first input."""
        return self.inputs[0].dtype

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the first input without the batch, such as (C, H, W)."""
        return self.inputs[0].shape

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return tuple(one.name for one in self.inputs)

    @property
    def input_numbers(self) -> int:
        """The numbers in all inputs together, for one image."""
        return sum(prod(one.shape) for one in self.inputs)

    @cached_property
    def makers(self) -> Mapping[str, Node]:
        """The node that computes each value."""
        return MappingProxyType({output: node for node in self.nodes for output in node.outputs})

    def readers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read the value; a node that reads it twice is listed twice."""
        return self._readers.get(name, ())

    @cached_property
    def _readers(self) -> Mapping[str, tuple[Node, ...]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return MappingProxyType({name: tuple(nodes) for name, nodes in readers.items()})

    def sole_reader(self, name: str) -> Node | None:
        """Return the only node that reads the value; None if there are more or it is an output."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    @cached_property
    def without_constants(self) -> "Graph":
        """The graph without its arrays, so that they are not kept in memory."""
        return replace(self, constants=MappingProxyType({}))


def graph_of(model: onnx.ModelProto) -> Graph:
    """Convert a model to a graph.

    Raises:
        ArtifactError: If a constant is damaged or in another file.
        UnsupportedError: If there is no input, or an axis of one other than the batch is free.
    """
    constants = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
    nodes: list[Node] = []
    names: set[str] = set()
    for index, proto in enumerate(model.graph.node):
        node = _node(proto, index)
        if node.name in names:  # ONNX does not require unique names
            node = replace(node, name=f"{node.name}#{index}")
        names.add(node.name)
        if node.kind == "Constant":
            constants[node.outputs[0]] = _constant(node)
        else:
            nodes.append(node)
    inputs = [value for value in model.graph.input if value.name not in constants]
    if not inputs:
        raise UnsupportedError("expected a model with an input, this one has none")
    return Graph(
        inputs=tuple(map(_input, inputs)),
        outputs=tuple(value.name for value in model.graph.output),
        nodes=tuple(nodes),
        constants=MappingProxyType(constants),
        opset=opset_of(model),
    )


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of a model's standard operators."""
    versions = (o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return next(versions, OPSET)


def _node(proto: onnx.NodeProto, index: int) -> Node:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    kind = f"{domain}.{proto.op_type}" if domain else proto.op_type
    attributes = {attribute.name: _value(attribute) for attribute in proto.attribute}
    return Node(
        kind=kind,
        name=proto.name or f"{proto.op_type}_{index}",
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=MappingProxyType(attributes),
    )


def _value(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return tuple(value) if isinstance(value, list) else value


def _array(tensor: onnx.TensorProto) -> NDArray[Any]:
    if is_external(tensor):  # numpy_helper would read a file of the working directory
        raise ArtifactError(f"the constant {tensor.name!r} is in another file")
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"the constant {tensor.name!r} is damaged: {error}") from error
    return _read_only(array)


_NUMBERS: Final[Mapping[str, type[np.generic]]] = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}
"""The element types of the attributes of a Constant that hold numbers."""


def _constant(node: Node) -> NDArray[Any]:
    """Return the array of a Constant node, from the attribute that holds it.

    Raises:
        ArtifactError: If there is not exactly one attribute, or its tensor is damaged.
        UnsupportedError: If it holds text or a sparse tensor.
    """
    if len(node.attributes) != 1 or len(node.outputs) != 1:
        raise ArtifactError(
            f"node {node.name!r} (Constant): expected one value and one output, got the attributes"
            f" {sorted(node.attributes)}"
        )
    ((name, value),) = node.attributes.items()
    if name == "value" and isinstance(value, onnx.TensorProto):
        return _array(value)
    if name not in _NUMBERS:
        raise UnsupportedError(f"node {node.name!r} (Constant): expected numbers, got {name!r}")
    try:
        return _read_only(np.asarray(value, _NUMBERS[name]))
    except (ValueError, TypeError, OverflowError) as error:
        raise ArtifactError(f"node {node.name!r} (Constant): its {name} is no number") from error


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _input(value: onnx.ValueInfoProto) -> Input:
    tensor = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    if not dims or any(size < 1 for size in dims[1:]):
        raise UnsupportedError(
            f"expected only the first axis of the input {value.name!r}, the batch, to be free,"
            f" got the shape {tuple(dims)}, where 0 is free"
        )
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    except KeyError as error:
        raise ArtifactError(f"the input {value.name!r} has no known element type") from error
    return Input(name=value.name, dtype=dtype, shape=tuple(dims[1:]))
