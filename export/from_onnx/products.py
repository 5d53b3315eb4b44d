"""Products and sums with constants that the passes put behind signs and sums of binary layers.

A node's output records which of them it is: the scale of signs, their shift, the scale of the
weights, or the mask of signs that are 0 in every image.
"""

from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.export.ir.graph import (
    add_constant,
    mark_behind,
    operand,
    parameter_name,
    produced_by,
    real_node,
)

_KEY: Final = "bnnkit.product"
_OF_SIGNS: Final = "signs"
_OF_WEIGHTS: Final = "weights"
_MASK: Final = "mask"
_SHIFT: Final = "shift"


def new_scale(graph: ir.Graph, signs: ir.Value, scale: np.float32, source: ir.Node) -> ir.Node:
    """Makes a node that multiplies signs by a positive number; `move_scales.py` moves it on."""
    return _product(graph, signs, np.array(scale, np.float32), source, _OF_SIGNS)


def new_weight_scale(
    graph: ir.Graph, sums: ir.Value, scale: NDArray[np.float32], source: ir.Node
) -> ir.Node:
    """Makes a node that multiplies the sums of a binary layer by the scales of its weights."""
    return _product(graph, sums, scale, source, _OF_WEIGHTS)


def new_mask(graph: ir.Graph, signs: ir.Value, mask: NDArray[Any], source: ir.Node) -> ir.Node:
    """Makes a node that multiplies signs by a mask of 0 and 1; `mask_signs.py` moves it on."""
    return _product(graph, signs, mask.astype(np.float32), source, _MASK)


def new_shift(graph: ir.Graph, signs: ir.Value, number: np.float32, source: ir.Node) -> ir.Node:
    """Makes a node that adds a number to scaled signs; `move_shifts.py` moves it on."""
    return _product(graph, signs, np.array(number, np.float32), source, _SHIFT)


def is_shift(node: ir.Node) -> bool:
    """Whether a node was made by `new_shift`."""
    return node.outputs[0].meta.get(_KEY) == _SHIFT


def is_scale(node: ir.Node) -> bool:
    """Whether a node was made by `new_scale`."""
    return node.outputs[0].meta.get(_KEY) == _OF_SIGNS


def is_weight_scale(node: ir.Node) -> bool:
    """Whether a node was made by `new_weight_scale`."""
    return node.outputs[0].meta.get(_KEY) == _OF_WEIGHTS


def is_mask(node: ir.Node) -> bool:
    """Whether a node was made by `new_mask`."""
    return node.outputs[0].meta.get(_KEY) == _MASK


def is_of_signs(value: ir.Value) -> bool:
    """Whether a value is signs, possibly scaled, shifted, masked, padded, pooled or reshaped.

    Activations of a few bits count as signs, of which they are sums.
    """
    node = value.producer()
    while node is not None and not _is_activation(node):
        is_product = is_scale(node) or is_mask(node) or is_shift(node)
        if node.domain != "" or not (
            is_product or node.op_type in ("Pad", *MOVES_SIGNS_IN_ANY_FORM)
        ):
            return False
        node = operand(node, 0).producer()
    return node is not None


def _is_activation(node: ir.Node) -> bool:
    return node.domain == DOMAIN and node.op_type in ("Sign", "Quantize")


def binary_weight(node: ir.Node) -> ir.Node | None:
    """The mark of the weights of a `Conv` or `MatMul`; None if it has none."""
    if node.domain != "" or node.op_type not in ("Conv", "MatMul"):
        return None
    weight = operand(node, 1)
    transpose = produced_by(weight, "Transpose")
    return mark_behind(weight if transpose is None else operand(transpose, 0), "BinaryWeight")


def is_binary_layer(node: ir.Node) -> bool:
    """Whether a node is a `Conv` or a `MatMul` with marked weights."""
    return binary_weight(node) is not None


def _product(
    graph: ir.Graph, x: ir.Value, factor: NDArray[np.float32], source: ir.Node, kind: str
) -> ir.Node:
    name = kind if kind in (_MASK, _SHIFT) else "scale"
    constant = add_constant(graph, parameter_name(source, name), factor)
    op_type = "Add" if kind == _SHIFT else "Mul"
    node = real_node(op_type, [x, constant], source, x.shape)
    node.outputs[0].meta[_KEY] = kind
    return node
