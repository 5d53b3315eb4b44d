"""Moves the scales of signs behind the binary layers, so that the layers take plain signs.

1. `Mul(signs, s)`, with a positive number s, moves down through `MaxPool` and changes of shape,
   and through a `Pad` with 0, s or -s, which then pads with 0, 1 or -1.
2. It moves behind a convolution or product with binary weights, and is merged into the scale of
   the weights if there is one. The sum is then an exact integer, and is rounded once when it is
   scaled. (The source rounds each partial sum, in an order that depends on the engine. If s is
   a power of two, both are exact.)
3. Any other scale stays.
"""

from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.export.ir.graph import (
    add_constant,
    constant,
    mark_behind,
    new_node,
    only_consumer,
    operand,
    parameter_name,
    produced_by,
)
from bnnkit.export.passes.clean_up import remove_dead

_KEY: Final = "bnnkit.scale"
_OF_SIGNS: Final = "signs"
_OF_WEIGHTS: Final = "weights"


def new_scale(graph: ir.Graph, signs: ir.Value, scale: np.float32, source: ir.Node) -> ir.Node:
    """Makes a node that multiplies signs by a positive number, and that this pass will move."""
    node = _product(graph, signs, np.array(scale, np.float32), source)
    node.outputs[0].meta[_KEY] = _OF_SIGNS
    return node


def new_weight_scale(
    graph: ir.Graph, sums: ir.Value, scale: NDArray[np.float32], source: ir.Node
) -> ir.Node:
    """Makes a node that multiplies the sums of a binary layer by the scales of its weights."""
    node = _product(graph, sums, scale, source)
    node.outputs[0].meta[_KEY] = _OF_WEIGHTS
    return node


def is_weight_scale(node: ir.Node) -> bool:
    """Whether a node was made by `new_weight_scale`."""
    return node.outputs[0].meta.get(_KEY) == _OF_WEIGHTS


def is_of_signs(value: ir.Value) -> bool:
    """Whether a value is signs, possibly scaled, padded, pooled or reshaped."""
    node = value.producer()
    while node is not None and (node.domain, node.op_type) != (DOMAIN, "Sign"):
        is_scaled = node.op_type == "Mul" and node.outputs[0].meta.get(_KEY) == _OF_SIGNS
        if node.domain != "" or not (
            is_scaled or node.op_type in ("Pad", *MOVES_SIGNS_IN_ANY_FORM)
        ):
            return False
        node = operand(node, 0).producer()
    return node is not None


def move_scales(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in list(graph):
        scale = _scale_above(node)
        if scale is None or node.domain != "":
            continue
        if _is_binary_layer(node):
            _move_behind_layer(graph, node, scale)
        elif _keeps_scale(graph, node, scale):
            _move_behind(graph, node, scale)
    remove_dead(graph)


def _scale_above(node: ir.Node) -> ir.Node | None:
    """The scale of signs that gives the first input of a node; None if there is none."""
    x = node.inputs[0] if node.inputs else None
    product = produced_by(x, "Mul")
    is_scale = product is not None and product.outputs[0].meta.get(_KEY) == _OF_SIGNS
    return product if is_scale else None


def _is_binary_layer(node: ir.Node) -> bool:
    if node.op_type not in ("Conv", "MatMul"):
        return False
    weight = operand(node, 1)
    transpose = produced_by(weight, "Transpose")
    weight = weight if transpose is None else operand(transpose, 0)
    return mark_behind(weight, "BinaryWeight") is not None


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
    if of_weights is not None and of_weights.outputs[0].meta.get(_KEY) == _OF_WEIGHTS:
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


def _product(graph: ir.Graph, x: ir.Value, scale: NDArray[np.float32], source: ir.Node) -> ir.Node:
    factor = add_constant(graph, parameter_name(source, "scale"), scale)
    real = ir.DataType.FLOAT
    return new_node("Mul", [x, factor], source=source, dtype=real, shape=x.shape)
