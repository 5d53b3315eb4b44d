"""Keeps signs that are 0 in every image, although a bit holds -1 or +1 only.

1. `Mul(signs, mask)`, where the mask is 0 at those signs and 1 elsewhere, moves down through
   changes of shape, through a `MaxPool` if the mask is the same at all pixels of a channel, and
   through a `Pad` with 0, which pads the mask with 1.
2. It is removed before a binary layer. There the layer takes +1 instead of 0, and what the +1s add
   to its sums is the same in every image. It is subtracted: L(s * mask) = L(s) - L(1 - mask), in
   integers.
3. A `Pad` with 0 of signs, along the height and the width only, becomes the padding of the binary
   convolution that follows. Along the channels it pads with +1, with a mask behind it.
4. Any other mask stays, as a product of real numbers.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.from_onnx.constant_elements import convolution
from bnnkit.export.from_onnx.narrow_constants import narrowed
from bnnkit.export.from_onnx.products import (
    binary_weight,
    is_binary_layer,
    is_mask,
    is_of_signs,
    new_mask,
)
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    constant,
    operand,
    parameter_name,
    produced_by,
    real_node,
    replace,
)
from bnnkit.export.passes.clean_up import remove_dead

Array = NDArray[Any]
_SPATIAL: Final = 2
"""The first axis of the height and the width."""


@dataclass(frozen=True)
class ZeroPads:
    """A `Pad` of a value with zeros.

    Attributes:
        node: The node.
        input: The value before it.
        widths: (rank, 2): the elements that are added before and after each axis; none negative.
    """

    node: ir.Node
    input: ir.Value
    widths: NDArray[np.int64]

    @property
    def is_spatial(self) -> bool:
        """Whether it pads maps along the height and the width only."""
        return len(self.widths) == _SPATIAL + 2 and not self.widths[:_SPATIAL].any()

    @property
    def inner(self) -> tuple[slice, ...]:
        """The part of the result that is not padding."""
        return tuple(slice(before, -after or None) for before, after in self.widths.tolist())


def mask_signs(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in list(graph):
        if node.domain != "" or not node.inputs:
            continue
        pads = _zero_pads(node)
        if is_binary_layer(node):
            _take_ones(graph, node)
            pad_in_layer(node)
        elif pads is not None:
            _move_behind_pad(graph, pads)
        elif (mask := _moved(node)) is not None:
            _remove_mask(node)
            _insert_mask(graph, node, mask)
    remove_dead(graph)


def zero_pads(value: ir.Value | None) -> ZeroPads | None:
    """The `Pad` that gives a value, if it adds zeros along the height and the width only."""
    found = _zero_pads(None if value is None else value.producer())
    return found if found is not None and found.is_spatial else None


def _zero_pads(node: ir.Node | None) -> ZeroPads | None:
    """A `Pad` with zeros; None for other nodes."""
    if node is None or (node.domain, node.op_type) != ("", "Pad"):
        return None
    pads = array(node.inputs[1])
    has_axes = len(node.inputs) > 3 and node.inputs[3] is not None
    is_constant = node.attributes.get_string("mode", "constant") == "constant"
    if pads is None or has_axes or not is_constant or (pads < 0).any() or _is_filled(node):
        return None
    return ZeroPads(node, operand(node, 0), pads.reshape(2, -1).T)


def _is_filled(node: ir.Node) -> bool:
    """Whether a `Pad` adds something other than zeros."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    content = array(node.inputs[2])
    return content is None or bool(content.any())


def _mask_above(node: ir.Node) -> Array | None:
    """The mask of the first input of a node, (1, ...); None if there is none."""
    product = produced_by(node.inputs[0], "Mul")
    if product is None or not is_mask(product):
        return None
    sizes = sizes_of(product.outputs[0])
    return np.broadcast_to(constant(product, 1), sizes)


def sizes_of(value: ir.Value) -> tuple[int, ...]:
    """The shape of a value for one image."""
    return (1, *(int(str(size)) for size in (value.shape or ())[1:]))


def _moved(node: ir.Node) -> Array | None:
    """Rule 1: the mask above a node as it is behind the node; None if it cannot move."""
    mask, y = _mask_above(node), node.outputs[0]
    if mask is None or len(node.outputs) > 1:
        return None
    if node.op_type == "Transpose":
        return mask.transpose(node.attributes.get_ints("perm", tuple(range(mask.ndim))[::-1]))
    if node.op_type in KEEPS_ELEMENTS:
        return mask.reshape(sizes_of(y))
    is_of_channels = mask.ndim == _SPATIAL + 2 and bool((mask == mask[:, :, :1, :1]).all())
    if node.op_type == "MaxPool" and is_of_channels:
        return np.broadcast_to(mask[:, :, :1, :1], sizes_of(y))
    return None


def _move_behind_pad(graph: ir.Graph, pads: ZeroPads) -> None:
    """Rules 1 and 3 for a `Pad`."""
    node, mask = pads.node, _mask_above(pads.node)
    is_read_by_layer = any(is_binary_layer(use.node) for use in node.outputs[0].uses())
    is_filled = not pads.is_spatial and is_read_by_layer and is_of_signs(pads.input)
    if mask is None and not is_filled:
        return
    if mask is None:
        mask = np.ones(sizes_of(pads.input), np.float32)
    else:
        _remove_mask(node)
    if is_filled:
        ones = add_constant(graph, parameter_name(node, "padding"), np.array(1, np.float32))
        filled = real_node("Pad", [*node.inputs[:2], ones], node, node.outputs[0].shape)
        replace(graph, node, [filled])
        node = filled
    _insert_mask(graph, node, np.pad(mask, pads.widths, constant_values=not is_filled))


def _remove_mask(node: ir.Node) -> None:
    product = produced_by(node.inputs[0], "Mul")
    assert product is not None  # `_mask_above` has found it
    node.replace_input_with(0, operand(product, 0))


def _insert_mask(graph: ir.Graph, node: ir.Node, mask: Array) -> None:
    y = node.outputs[0]
    product = new_mask(graph, y, narrowed(mask), node)
    y.replace_all_uses_with(product.outputs[0], replace_graph_outputs=True)
    product.replace_input_with(0, y)
    graph.insert_after(node, product)


def _take_ones(graph: ir.Graph, node: ir.Node) -> None:
    """Rule 2."""
    mask, y = _mask_above(node), node.outputs[0]
    if mask is None:
        return
    _remove_mask(node)
    shift = narrowed(sums_of_ones(node, 1 - mask))
    if not shift.any():
        return
    number = add_constant(graph, parameter_name(node, "ones"), shift[0])
    difference = real_node("Sub", [y, number], node, y.shape)
    y.replace_all_uses_with(difference.outputs[0], replace_graph_outputs=True)
    difference.replace_input_with(0, y)
    graph.insert_after(node, difference)


def sums_of_ones(node: ir.Node, ones: Array) -> Array:
    """The sums of a binary layer for an input of zeros and ones, float32 (1, ...); exact."""
    mark = binary_weight(node)
    assert mark is not None  # the node is a binary layer
    signs = np.where(constant(mark, 0) >= 0, 1.0, -1.0)
    if node.op_type == "MatMul":
        return np.asarray(ones @ signs.T, np.float32)
    return convolution(node, signs.ndim - _SPATIAL)(ones.astype(np.float64), signs).astype("f")


def pad_in_layer(node: ir.Node) -> None:
    """Rule 3 for a binary convolution; it does nothing for other layers."""
    pads = zero_pads(node.inputs[0])
    if node.op_type != "Conv" or pads is None or not is_of_signs(pads.input):
        return
    own = np.reshape(node.attributes.get_ints("pads", (0, 0, 0, 0)), (2, 2))
    both = own + pads.widths[_SPATIAL:].T
    node.replace_input_with(0, pads.input)
    node.attributes["pads"] = ir.AttrInt64s("pads", both.reshape(-1).tolist())
