"""Helpers to read and edit an onnx_ir graph: constants, consumers, new nodes, module paths."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.errors import UnsupportedError

# The key under which torch's exporter stores the path from the model to the operation:
# ['', 'features', 'features.3', 'conv2d'].
_SCOPES: Final = "pkg.torch.onnx.name_scopes"


def array(value: ir.Value | None) -> NDArray[Any] | None:
    """The content of a constant, that is an initializer or a `Constant` node; else None."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def operand(node: ir.Node, index: int) -> ir.Value:
    """A required input of an operator."""
    value = node.inputs[index]
    if value is None:
        raise ValueError(f"{label(node)} lacks its input {index}")
    return value


def constant(node: ir.Node, index: int) -> NDArray[Any]:
    """The content of an input that must be constant.

    Raises:
        UnsupportedError: The input is computed.
    """
    content = array(operand(node, index))
    if content is None:
        raise UnsupportedError(
            f"expected input {index} of {label(node)} to be a parameter, got a computed value"
        )
    return content


def add_constant(graph: ir.Graph, name: str, content: NDArray[Any]) -> ir.Value:
    """Adds an initializer named `name`, or `name#2`, `name#3` and so on if that is taken."""
    free, number = name, 2
    while free in graph.initializers:
        free, number = f"{name}#{number}", number + 1
    value = ir.Value(
        name=free,
        type=ir.TensorType(ir.DataType.from_numpy(content.dtype)),
        shape=ir.Shape(content.shape),
        const_value=ir.Tensor(np.array(content, order="C"), name=free),
    )
    graph.register_initializer(value)
    return value


def shared_constant(graph: ir.Graph, name: str, content: NDArray[Any]) -> ir.Value:
    """The initializer of that name; added by the first call, and shared by later ones."""
    return graph.initializers.get(name) or add_constant(graph, name, content)


def module_path(node: ir.Node) -> str:
    """The path of a node's torch module, as in `named_modules`; "" for the model itself."""
    scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    return str(scopes[-2]) if len(scopes) > 1 else ""


def set_module_path(node: ir.Node, path: str) -> None:
    """Record that the node comes from the torch module at `path`."""
    node.metadata_props[_SCOPES] = repr(["", path, node.op_type])


def parameter_name(node: ir.Node, name: str) -> str:
    """The name of a constant that belongs to the node's module: `features.3.weight`."""
    return f"{module_path(node)}.{name}".lstrip(".")


def label(node: ir.Node) -> str:
    """Describes the node in an error message: its module and its operator."""
    return f"{module_path(node) or 'the model'} ({node.op_type})"


def new_node(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    *,
    source: ir.Node,
    dtype: ir.DataType,
    shape: ir.Shape | None,
    domain: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> ir.Node:
    """Makes a node with one output and the module of `source`; it is not in a graph yet."""
    node = ir.node(op_type, inputs, attributes or {}, domain=domain)
    set_module_path(node, module_path(source))
    node.outputs[0].type = ir.TensorType(dtype)
    node.outputs[0].shape = shape
    return node


def real_node(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    source: ir.Node,
    shape: ir.Shape | None,
    domain: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> ir.Node:
    """As `new_node`, with a float32 output."""
    real = ir.DataType.FLOAT
    return new_node(
        op_type,
        inputs,
        source=source,
        dtype=real,
        shape=shape,
        domain=domain,
        attributes=attributes,
    )


def cast_to_real(total: ir.Value, source: ir.Node) -> ir.Node:
    """Makes a node that casts an integer sum to float32; exact, as sums are below 2^24."""
    to = {"to": ir.DataType.FLOAT}
    dtype = ir.DataType.FLOAT
    return new_node("Cast", [total], source=source, dtype=dtype, shape=total.shape, attributes=to)


def replace(graph: ir.Graph, old: ir.Node, new: Sequence[ir.Node]) -> None:
    """Replaces `old` by new nodes; the output of the last one takes the place of `old`'s."""
    graph.insert_before(old, new)
    new[-1].outputs[0].meta.update(old.outputs[0].meta)
    old.outputs[0].replace_all_uses_with(new[-1].outputs[0], replace_graph_outputs=True)
    graph.remove(old, safe=True)


def data_inputs(graph: ir.Graph) -> list[ir.Value]:
    """The inputs of a network, without those that choose random numbers, which have defaults."""
    return [value for value in graph.inputs if not value.is_initializer()]


def rank(value: ir.Value) -> int:
    """The number of axes of a value; -1 if its shape is not known."""
    return -1 if value.shape is None else value.shape.rank()


def channel_column(numbers: NDArray[Any], value: ir.Value) -> NDArray[Any]:
    """Reshapes numbers (C,) to broadcast along axis 1 of a value."""
    return numbers.reshape(-1, *[1] * (rank(value) - 2))


def only_consumer(value: ir.Value) -> ir.Node | None:
    """The only user of a value; None if it has several uses or is an output of the graph."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def nodes(graph: ir.Graph, *op_types: str, domain: str = "") -> Iterator[ir.Node]:
    """The nodes with these operators, in graph order; the graph may change meanwhile."""
    for node in list(graph):
        if node.domain == domain and node.op_type in op_types:
            yield node


def produced_by(value: ir.Value | None, op_type: str, domain: str = "") -> ir.Node | None:
    """The producer of a value if it has that operator; else None."""
    node = value.producer() if value is not None else None
    return node if node is not None and (node.domain, node.op_type) == (domain, op_type) else None


def mark_behind(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The producer of a value if it is that mark, an operator of the domain `bnnkit`."""
    return produced_by(value, op_type, DOMAIN)
