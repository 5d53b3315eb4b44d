"""One-dimensional binary convolutions (N, C, L) become two-dimensional ones of height 1.

1. A one-dimensional `Conv` with weights +-s becomes `Unsqueeze`, a two-dimensional `Conv` on
   (N, C, 1, L), and `Squeeze`, as artifacts have two-dimensional binary convolutions only.
2. The `Squeeze` moves down through signs, pools and elementwise operators with constants, whose
   constants get the new axis too.
3. `Unsqueeze` of such a `Squeeze` is removed.
"""

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.binary_scales import scales
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import MONOTONE, POOLS
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    new_node,
    nodes,
    operand,
    parameter_name,
    produced_by,
    rank,
    replace,
    shared_constant,
)
from bnnkit.export.passes.clean_up import remove_dead

_AXIS: Final = 2
_ELEMENTWISE: Final = (MONOTONE - {"BatchNormalization", "Cast", "Identity"}) | {
    "PRelu",
    "LeakyRelu",
}
"""What stands between the binary layers of a network; an axis more changes none of it."""


def conv1d_to_conv2d(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in nodes(graph, "Conv"):
        weight = array(node.inputs[1])
        if rank(operand(node, 0)) == 3 and weight is not None and scales(weight) is not None:
            _lift(graph, node, weight)
    for node in list(graph):
        if node.graph is graph and _is_liftable(node):
            _move_down(graph, node)
    for node in nodes(graph, "Unsqueeze"):
        inner = _lowered(node.inputs[0])
        if inner is not None and _axes(node) == [_AXIS]:
            node.outputs[0].replace_all_uses_with(inner, replace_graph_outputs=True)  # rule 3
    remove_dead(graph)


def _lift(graph: ir.Graph, node: ir.Node, weight: NDArray[Any]) -> None:
    """Rule 1."""
    x = operand(node, 0)
    flat = add_constant(graph, str(operand(node, 1).name), weight[:, :, None])
    up = _moved(graph, "Unsqueeze", x, node, _lifted(x.shape))
    inputs = [up.outputs[0], flat, *node.inputs[2:]]
    replace(graph, node, [up, *_lifted_node(graph, node, inputs)])


def _is_liftable(node: ir.Node) -> bool:
    """Whether rule 2 holds for a node."""
    if all(_lowered(x) is None for x in node.inputs):
        return False
    if (node.domain, node.op_type) == (DOMAIN, "Sign"):
        return True
    others = [x for x in node.inputs if x is not None and _lowered(x) is None]
    is_known = node.op_type in _ELEMENTWISE or (node.op_type in POOLS and len(node.outputs) == 1)
    return node.domain == "" and is_known and all(array(x) is not None for x in others)


def _move_down(graph: ir.Graph, node: ir.Node) -> None:
    """Rule 2."""
    inputs: list[ir.Value | None] = []
    for x in node.inputs:
        inner, content = _lowered(x), array(x)
        if inner is None and content is not None and content.ndim:
            full = content.reshape((1,) * (3 - content.ndim) + content.shape)
            inner = add_constant(graph, parameter_name(node, "lifted"), full[:, :, None])
        inputs.append(x if inner is None else inner)
    replace(graph, node, _lifted_node(graph, node, inputs))


def _lifted_node(graph: ir.Graph, node: ir.Node, inputs: list[ir.Value | None]) -> list[ir.Node]:
    """The node on maps of height 1, and the `Squeeze` of its output."""
    y = node.outputs[0]
    attributes: dict[str, Any] = dict(node.attributes)
    for name in ("kernel_shape", "strides", "dilations"):
        if name in attributes:
            attributes[name] = (1, *node.attributes[name].as_ints())
    if "pads" in attributes:
        before, after = node.attributes["pads"].as_ints()
        attributes["pads"] = (0, before, 0, after)
    real = ir.DataType.FLOAT
    lifted = new_node(
        *(node.op_type, inputs),
        source=node, dtype=real, shape=_lifted(y.shape), domain=node.domain, attributes=attributes,
    )  # fmt: skip
    lifted.outputs[0].meta.update(y.meta)
    return [lifted, _moved(graph, "Squeeze", lifted.outputs[0], node, y.shape)]


def _moved(
    graph: ir.Graph, op_type: str, x: ir.Value, source: ir.Node, shape: ir.Shape | None
) -> ir.Node:
    axes = shared_constant(graph, "height", np.array([_AXIS]))
    return new_node(op_type, [x, axes], source=source, dtype=ir.DataType.FLOAT, shape=shape)


def _lifted(shape: ir.Shape | None) -> ir.Shape | None:
    return None if shape is None else ir.Shape([*shape[:_AXIS], 1, *shape[_AXIS:]])


def _lowered(x: ir.Value | None) -> ir.Value | None:
    """The input of the `Squeeze` of the height that gives a value; None if there is none."""
    node = produced_by(x, "Squeeze")
    is_of_height = node is not None and _axes(node) == [_AXIS] and rank(operand(node, 0)) == 4
    return operand(node, 0) if node is not None and is_of_height else None


def _axes(node: ir.Node) -> list[int]:
    content = array(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if content is None else [int(axis) for axis in content]
