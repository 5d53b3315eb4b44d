"""Moves what is added to signs behind the binary layers, so that the layers take plain signs.

1. `Add(signs, m)`, with a number m, moves down through `MaxPool` and changes of shape.
2. It moves behind a convolution or product with binary weights: L(s + m) = L(s) + m L(1), and
   L(1) is the same for every image. Its numbers differ at the border of maps that the layer pads
   with 0, and a `Pad` with 0 before the layer becomes such padding.
3. m - m * signs is 0 where the signs are +1. So padding with 0 is a `Pad` of the signs with +1,
   and L(1) is the same number for all pixels of a channel, which thresholds can take.
4. Any other sum stays.
"""

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.from_onnx.mask_signs import pad_in_layer, sizes_of, sums_of_ones
from bnnkit.export.from_onnx.narrow_constants import narrowed
from bnnkit.export.from_onnx.products import (
    is_binary_layer,
    is_scale,
    is_shift,
    new_scale,
    new_shift,
)
from bnnkit.export.ir.graph import (
    add_constant,
    constant,
    operand,
    parameter_name,
    produced_by,
    rank,
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
    """Rules 2 and 3."""
    signs = _padded_with_ones(graph, node, shift)
    ones = np.ones(sizes_of(signs), np.float32)
    sums = narrowed(sums_of_ones(node, ones))[0] * np.float32(constant(shift, 1))
    node.replace_input_with(0, signs)
    if sums.any():
        y = node.outputs[0]
        number = add_constant(graph, parameter_name(node, "ones"), sums.astype(np.float32))
        _insert_behind(graph, node, real_node("Add", [y, number], node, y.shape))


def _padded_with_ones(graph: ir.Graph, node: ir.Node, shift: ir.Node) -> ir.Value:
    """Rule 3: the scaled signs that a layer takes, padded if it pads what is 0 as +1."""
    scaled = operand(shift, 0)
    scale, pads = scaled.producer(), node.attributes.get_ints("pads", ())
    if scale is None or not is_scale(scale) or not any(pads) or scaled.shape is None:
        return scaled
    number = np.float32(constant(scale, 1).item())
    if number != -np.float32(constant(shift, 1).item()):
        return scaled
    sides = np.zeros((2, rank(scaled)), np.int64)
    sides[:, 2:] = np.reshape(pads, (2, -1))
    sizes = [
        size if isinstance(size, ir.SymbolicDim) else size + int(sides[:, axis].sum())
        for axis, size in enumerate(scaled.shape)
    ]
    widths = add_constant(graph, parameter_name(node, "pads"), sides.reshape(-1))
    one = add_constant(graph, parameter_name(node, "padding"), np.array(1, np.float32))
    padded = real_node("Pad", [operand(scale, 0), widths, one], node, ir.Shape(sizes))
    product = new_scale(graph, padded.outputs[0], number, node)
    graph.insert_before(node, [padded, product])
    node.attributes.pop("pads")
    return product.outputs[0]


def _insert_behind(graph: ir.Graph, node: ir.Node, moved: ir.Node) -> None:
    y = node.outputs[0]
    y.replace_all_uses_with(moved.outputs[0], replace_graph_outputs=True)
    moved.replace_input_with(0, y)
    graph.insert_after(node, moved)
