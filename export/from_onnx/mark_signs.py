"""Values that are one of two opposite numbers become the mark `Sign`, times that number.

1. A value that is p where x >= t (or x <= t) and -p elsewhere (`two_valued.py`) becomes the mark,
   and a `Mul` by p unless p is 1. Later nodes are examined first, so the outermost sign counts.
2. x >= t becomes `Sign(Sub(x, t))` and x <= t becomes `Sign(Sub(t, x))`: a float32 difference has
   the right sign, and sign(0) = +1. If t is 0, there is no `Sub` (x <= 0 is `Sign(Neg(x))`).
3. ONNX's own `Sign(x)` becomes the mark, which gives +1 for 0. `sign_of_zero.py` finds out whether
   x can be 0.
4. If some elements of such a sign are 0 in every image (`constant_elements.py`), the mark is
   multiplied by a mask of zeros and ones, which `mask_signs.py` moves on.
5. A value of 0 and p that only convolutions read, of which one pads with 0, is p / 2 - p / 2 s
   with the signs s of the opposite: 0 is their +1, with which maps are padded (`move_shifts.py`).
6. `Sign(Pad(x))`, where a map is padded with 0, becomes `Pad(Sign(x))`, so that a convolution can
   pad instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.export.from_onnx.constant_elements import ConstantElements
from bnnkit.export.from_onnx.differences import ConstantZeros, LostRounding
from bnnkit.export.from_onnx.mark_weights import feeds_binary_layers
from bnnkit.export.from_onnx.mask_signs import zero_pads
from bnnkit.export.from_onnx.piecewise.comparisons import Comparison
from bnnkit.export.from_onnx.piecewise.elementwise import is_elementwise
from bnnkit.export.from_onnx.product_operands import feeds_binary_products
from bnnkit.export.from_onnx.products import new_mask, new_scale, new_shift
from bnnkit.export.from_onnx.two_valued import TwoValued, two_valued
from bnnkit.export.ir.graph import (
    add_constant,
    module_path,
    parameter_name,
    real_node,
    set_module_path,
)
from bnnkit.export.passes.clean_up import remove_dead

Zeros = NDArray[np.bool_] | None


@dataclass(frozen=True)
class MarkedSigns:
    """The signs that differ from the source.

    Attributes:
        remapped: By module path, the marks that give +1 where the source gives 0: bool (1, ...),
            the elements that are 0 in every image; None if there are none.
        constant_zeros: Those with such elements.
        rounded: Signs with rounding of a straight-through estimator in the source, s + c - c.
    """

    remapped: Mapping[str, Zeros]
    constant_zeros: tuple[ConstantZeros, ...]
    rounded: tuple[LostRounding, ...]


@dataclass(frozen=True)
class _Marked:
    """A sign, its elements that are 0 in every image, and the new nodes."""

    sign: TwoValued
    zeros: Zeros
    new: list[ir.Node]


def mark_signs(graph: ir.Graph) -> MarkedSigns:
    """Run the pass."""
    elements = ConstantElements()
    order = list(graph)
    position = {node: index for index, node in enumerate(order)}
    found: list[_Marked] = []
    for node in reversed(order):
        is_left = node.graph is graph and is_elementwise(node)
        if not is_left or node.outputs[0].dtype != ir.DataType.FLOAT:
            continue
        sign = two_valued(node.outputs[0], position)
        if sign is None or not _has_use(sign, position):
            continue
        if not _is_often_zero(elements, sign):
            zeros = _zeros(elements, sign)
            found.append(_Marked(sign, zeros, _replace(graph, sign, zeros)))
            remove_dead(graph)
    return _named(found[::-1])


def _has_use(sign: TwoValued, position: dict[ir.Node, int]) -> bool:
    """Whether a mark helps.

    It does for the values -s and s; other values must be read by binary layers or products alone.
    """
    return (
        sign.is_sign
        or feeds_binary_layers(sign.value)
        or feeds_binary_products(sign.value, position)
    )


def _is_often_zero(elements: ConstantElements, sign: TwoValued) -> bool:
    """Whether a sign is 0 for more than single inputs, as after a `Relu`."""
    x, limit = sign.condition.x, sign.condition.limit
    found = elements.of(x) if sign.is_remapped and not limit.any() else None
    return found is not None and bool(found.is_often_zero.any())


def _zeros(elements: ConstantElements, sign: TwoValued) -> Zeros:
    """The elements of a sign that are 0 in every image; None if there are none."""
    found = elements.of(sign.value) if sign.is_remapped else None
    if found is None:
        return None
    zeros = found.is_constant & (found.content == 0)
    return zeros if zeros.any() else None


def _named(found: list[_Marked]) -> MarkedSigns:
    """Give the new nodes of each sign a unique module path."""
    used: set[str] = set()
    remapped: dict[str, Zeros] = {}
    constant_zeros: list[ConstantZeros] = []
    rounded: list[LostRounding] = []
    for marked in found:
        path = _free_path(marked.new[0], used)
        for node in marked.new:
            set_module_path(node, path)
        if marked.sign.is_remapped:
            remapped[path] = marked.zeros
        if marked.zeros is not None:
            counts = int(marked.zeros.sum()), marked.zeros.size
            constant_zeros.append(ConstantZeros(path, *counts))
        if marked.sign.deviation is not None:
            rounded.append(LostRounding(path, marked.sign.deviation))
    return MarkedSigns(remapped, tuple(constant_zeros), tuple(rounded))


def _replace(graph: ir.Graph, found: TwoValued, zeros: Zeros) -> list[ir.Node]:
    """Replace a sign by the mark; returns the new nodes."""
    y = found.value
    source = y.producer()
    assert source is not None  # `two_valued` recognises outputs of nodes only
    low, high = sorted((found.no, found.yes))
    is_turned = not found.is_sign and low == 0 and _is_padded(y)
    condition = found.condition
    if (found.yes == high) == is_turned:  # rule 5
        condition = condition.negated()
    pad = None if zeros is None else zero_pads(condition.x)
    shape = y.shape
    if pad is not None and zeros is not None:  # rule 6
        condition = replace(condition, x=pad.input)
        zeros, shape = zeros[pad.inner], pad.input.shape
    new = _difference(graph, condition, source, shape)
    x = new[-1].outputs[0] if new else condition.x
    mark = real_node("Sign", [x], source, shape, DOMAIN, {"noise": "none"})
    new.append(mark)
    if zeros is not None and zeros.any():  # rule 4
        new.append(new_mask(graph, mark.outputs[0], ~zeros, mark))
    half = high if found.is_sign else (high - low) / np.float32(2)
    if half != 1 or is_turned:
        scale = np.float32(-half if is_turned else half)
        new.append(new_scale(graph, new[-1].outputs[0], scale, mark))
    if not found.is_sign:
        middle = np.float32((high + low) / np.float32(2))
        new.append(new_shift(graph, new[-1].outputs[0], middle, mark))
    if pad is not None:
        inputs = [new[-1].outputs[0], pad.node.inputs[1]]
        new.append(real_node("Pad", inputs, source, y.shape))
    graph.insert_before(source, new)
    y.replace_all_uses_with(new[-1].outputs[0], replace_graph_outputs=True)
    return new


def _is_padded(y: ir.Value) -> bool:
    """Whether convolutions alone read a value, directly or padded with 0, and one is padded."""
    users = [use.node for use in y.uses()]
    padded = [user for user in users if zero_pads(user.outputs[0]) is not None]
    layers = [user for user in users if user not in padded]
    layers += [use.node for pad in padded for use in pad.outputs[0].uses()]
    has_pads = any(any(layer.attributes.get_ints("pads", ())) for layer in layers)
    return (bool(padded) or has_pads) and all(layer.op_type == "Conv" for layer in layers)


def _difference(
    graph: ir.Graph, condition: Comparison, source: ir.Node, shape: ir.Shape | None
) -> list[ir.Node]:
    """Rule 2."""
    x = condition.x
    if not condition.limit.any() and x.shape == shape:
        return [] if condition.is_lower else [real_node("Neg", [x], source, x.shape)]
    limit = add_constant(graph, parameter_name(source, "limit"), condition.limit)
    operands = [x, limit] if condition.is_lower else [limit, x]
    return [real_node("Sub", operands, source, shape)]


def _free_path(source: ir.Node, used: set[str]) -> str:
    """The module path of a node, with a number if that path is taken."""
    path = module_path(source) or "sign"
    free, number = path, 2
    while free in used:
        free, number = f"{path}_{number}", number + 1
    used.add(free)
    return free
