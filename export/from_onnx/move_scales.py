"""Moves the scales of signs behind the binary layers, so that the layers take plain signs.

1. `Mul(signs, s)`, with a positive number s, moves down through `MaxPool` and changes of shape,
   and through a `Pad` with 0, s or -s, which then pads with 0, 1 or -1.
2. It moves behind a convolution or product with binary weights, and is merged into the scale of
   the weights if there is one. The sum is then an exact integer, and is rounded once when it is
   scaled. (The source rounds each partial sum, in an order that depends on the engine. If s is
   a power of two, both are exact.)
3. Any other scale stays.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.export.from_onnx.products import (
    is_binary_layer,
    is_scale,
    is_weight_scale,
    new_scale,
    new_weight_scale,
)
from bnnkit.export.ir.graph import (
    add_constant,
    constant,
    only_consumer,
    operand,
    parameter_name,
    produced_by,
)
from bnnkit.export.passes.clean_up import remove_dead


def move_scales(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in list(graph):
        scale = _scale_above(node)
        if scale is None or node.domain != "":
            continue
        if is_binary_layer(node):
            _move_behind_layer(graph, node, scale)
        elif _keeps_scale(graph, node, scale):
            _move_behind(graph, node, scale)
    remove_dead(graph)


def _scale_above(node: ir.Node) -> ir.Node | None:
    """The scale of signs that gives the first input of a node; None if there is none."""
    product = produced_by(node.inputs[0], "Mul") if node.inputs else None
    return product if product is not None and is_scale(product) else None


def _keeps_scale(graph: ir.Graph, node: ir.Node, scale: ir.Node) -> bool:
    """Whether scaling the input of a node scales its output likewise."""
    if node.op_type == "Pad":
        return _pads_alike(graph, node, scale)
    return node.op_type in MOVES_SIGNS_IN_ANY_FORM and len(node.outputs) == 1


def _pads_alike(graph: ir.Graph, node: ir.Node, scale: ir.Node) -> bool:
    """Divide the constant of a `Pad` by the scale; returns False unless that gives 0, 1 or -1."""
    if node.attributes.get_string("mode", "constant") != "constant":
        return True
    value = node.inputs[2] if len(node.inputs) > 2 else None
    number = np.float32(0) if value is None else constant(node, 2)
    size = constant(scale, 1)
    if not np.any(number):
        return True
    if abs(number) != size:
        return False
    sign = add_constant(graph, parameter_name(node, "padding"), np.sign(number))
    node.replace_input_with(2, sign)
    return True


def _move_behind(graph: ir.Graph, node: ir.Node, scale: ir.Node) -> None:
    """Rule 1."""
    moved = new_scale(graph, node.outputs[0], np.float32(constant(scale, 1).item()), scale)
    _insert_behind(graph, node, scale, moved)


def _move_behind_layer(graph: ir.Graph, node: ir.Node, scale: ir.Node) -> None:
    """Rule 2."""
    of_weights = only_consumer(node.outputs[0])
    number = constant(scale, 1)
    if of_weights is not None and is_weight_scale(of_weights):
        both = add_constant(graph, parameter_name(node, "scale"), constant(of_weights, 1) * number)
        of_weights.replace_input_with(1, both)
        node.replace_input_with(0, operand(scale, 0))
        return
    moved = new_weight_scale(graph, node.outputs[0], number, node)
    _insert_behind(graph, node, scale, moved)


def _insert_behind(graph: ir.Graph, node: ir.Node, scale: ir.Node, moved: ir.Node) -> None:
    y = node.outputs[0]
    node.replace_input_with(0, operand(scale, 0))
    y.replace_all_uses_with(moved.outputs[0], replace_graph_outputs=True)
    moved.replace_input_with(0, y)
    graph.insert_after(node, moved)
