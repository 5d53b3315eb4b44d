"""Moves what is added to signs behind the binary layers, so that the layers take plain signs.

1. `Add(signs, m)`, with a number m, moves down through `MaxPool` and changes of shape.
2. It moves behind a convolution or product with binary weights: L(s + m) = L(s) + m L(1), and
   L(1) is the same for every image. Its numbers differ at the border of maps that the layer pads
   with 0, and a `Pad` with 0 before the layer becomes such padding.
3. Any other sum stays.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.from_onnx.mask_signs import pad_in_layer, sizes_of, sums_of_ones
from bnnkit.export.from_onnx.narrow_constants import narrowed
from bnnkit.export.from_onnx.products import is_binary_layer, is_shift, new_shift
from bnnkit.export.ir.graph import (
    add_constant,
    constant,
    operand,
    parameter_name,
    produced_by,
    real_node,
)
from bnnkit.export.passes.clean_up import remove_dead


def move_shifts(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in list(graph):
        if node.domain != "" or not node.inputs:
            continue
        if is_binary_layer(node):
            pad_in_layer(node)
        shift = produced_by(node.inputs[0], "Add")
        if shift is None or not is_shift(shift):
            continue
        if is_binary_layer(node):
            _move_behind_layer(graph, node, shift)
        elif node.op_type in (*KEEPS_ELEMENTS, "MaxPool") and len(node.outputs) == 1:
            number = np.float32(constant(shift, 1).item())
            node.replace_input_with(0, operand(shift, 0))
            _insert_behind(graph, node, new_shift(graph, node.outputs[0], number, shift))
    remove_dead(graph)


def _move_behind_layer(graph: ir.Graph, node: ir.Node, shift: ir.Node) -> None:
    """Rule 2."""
    ones = np.ones(sizes_of(operand(shift, 0)), np.float32)
    sums = narrowed(sums_of_ones(node, ones))[0] * np.float32(constant(shift, 1))
    node.replace_input_with(0, operand(shift, 0))
    if sums.any():
        y = node.outputs[0]
        number = add_constant(graph, parameter_name(node, "ones"), sums.astype(np.float32))
        _insert_behind(graph, node, real_node("Add", [y, number], node, y.shape))


def _insert_behind(graph: ir.Graph, node: ir.Node, moved: ir.Node) -> None:
    y = node.outputs[0]
    y.replace_all_uses_with(moved.outputs[0], replace_graph_outputs=True)
    moved.replace_input_with(0, y)
    graph.insert_after(node, moved)
