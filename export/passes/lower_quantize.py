"""Marks of activations with few bits become bit planes, and binary layers take each plane.

1. The mark `Quantize(x, thresholds)` with L ascending thresholds gives scale * q + shift, where q,
   the sum of the signs of x - threshold, is -L, -L + 2, .., or L. Each sign is a `Sign`.
2. With L = 2^b - 1 the bits of (q + L) / 2, as signs p_j, give q = sum of 2^j p_j. The highest is
   the sign at the middle threshold. Any other p_j is the sign of an alternating sum of the signs
   at every 2^j-th threshold, which is -1 or +1. With L = 2 (ternary) the planes are the two signs
   themselves. Other L are filled up with thresholds of infinity.
3. A layer with binary weights of the value becomes the sum of the layer on each plane, times 2^j.
   The scale follows it, and the sum of the weights times the shift; both are exact in float32 if
   the levels are few-digit numbers, as integers are.
4. A layer pads with 0. If the shift is 0, so do the planes. If not, and 0 is a level, the planes
   are padded with the bits of that level. If 0 is the lowest level, the mark first becomes one of
   -x with opposite scale, so that all bits of 0 are +1, which the runtime pads with at no cost.
5. A `MaxPool` that alone reads the value is applied to x, as the levels ascend with x.
6. `Pad` with the number of a level, and operators that keep all elements, are applied to each
   plane. All other users get the value itself, computed in float32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    channel_column,
    constant,
    module_path,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    real_node,
    set_module_path,
)
from bnnkit.export.ir.graph import replace as replace_node
from bnnkit.export.passes.clean_up import remove_dead
from bnnkit.export.passes.lower_binary_layers import weight_mark
from bnnkit.export.passes.lower_signs import SignRecord, dequantize, set_sign_record
from bnnkit.export.passes.noise_model import NoiseModel

_LARGEST: Final = 2**23
"""Totals stay below this, so that thresholds are exact in float32 too."""
Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Planes:
    """A value as scale * (sum of factor * plane) + shift.

    Attributes:
        planes: Real values -1.0 and +1.0.
        factors: A positive integer for each plane.
    """

    planes: tuple[ir.Value, ...]
    factors: tuple[int, ...]
    scale: float
    shift: float

    def signs_of(self, number: float) -> tuple[int, ...] | None:
        """The planes of a level; None if the number is not a level."""
        rest = round((number - self.shift) / self.scale)
        if self.scale * rest + self.shift != number or abs(rest) > sum(self.factors):
            return None
        signs = []
        for factor in reversed(self.factors):
            signs.append(1 if rest >= 0 else -1)
            rest -= signs[-1] * factor
        return tuple(signs[::-1]) if rest == 0 else None


def lower_quantize(graph: ir.Graph, noise_model: NoiseModel | None = None) -> None:
    """Run the pass.

    Args:
        graph: The graph to change.
        noise_model: Weights of which it stores draws keep real-valued inputs if the shift is not
            0, because the sum of the weights then differs between the draws.
    """
    has_draws = noise_model is not None and noise_model.weight_draws > 0
    for found in nodes(graph, "Quantize", domain=DOMAIN):
        mark = _behind_pools(graph, found)
        planes = _lower(graph, mark)
        y = mark.outputs[0]
        value = _Expression(graph, mark, y.shape)
        total = value.total(planes.planes, planes.factors)
        if planes.scale != 1:
            total = value.apply("Mul", total, np.array(planes.scale, np.float32), "scale")
        if planes.shift:
            total = value.apply("Add", total, np.array(planes.shift, np.float32), "shift")
        total.meta.update(y.meta)
        graph.insert_before(mark, value.nodes)
        y.replace_all_uses_with(total, replace_graph_outputs=True)
        graph.remove(mark, safe=True)
        _distribute(graph, total, planes, has_draws=has_draws)
    remove_dead(graph)


class _Expression:
    """New nodes with the module of a source and one shape."""

    def __init__(self, graph: ir.Graph, source: ir.Node, shape: ir.Shape | None) -> None:
        self.nodes: list[ir.Node] = []
        self._graph, self._source, self._shape = graph, source, shape

    def add(self, op_type: str, inputs: Sequence[ir.Value | None]) -> ir.Value:
        self.nodes.append(real_node(op_type, inputs, self._source, self._shape))
        return self.nodes[-1].outputs[0]

    def apply(self, op_type: str, x: ir.Value, number: Array, name: str) -> ir.Value:
        value = add_constant(self._graph, parameter_name(self._source, name), number)
        return self.add(op_type, [x, value])

    def total(self, values: Sequence[ir.Value], factors: Sequence[int]) -> ir.Value:
        """The sum of factor * value."""
        total: ir.Value | None = None
        for value, factor in zip(values, factors, strict=True):
            part = value
            if factor != 1:
                part = self.apply("Mul", value, np.array(factor, np.float32), "factor")
            total = part if total is None else self.add("Add", [total, part])
        assert total is not None  # there is a plane
        return total


def _behind_pools(graph: ir.Graph, mark: ir.Node) -> ir.Node:
    """Rule 5; returns the mark in its new place."""
    pool = only_consumer(mark.outputs[0])
    ascends = mark.attributes["scale"].as_float() > 0
    if pool is None or pool.op_type != "MaxPool" or len(pool.outputs) > 1 or not ascends:
        return mark
    x, y = operand(mark, 0), pool.outputs[0]
    moved = real_node("Quantize", [y, mark.inputs[1]], mark, y.shape, DOMAIN, mark.attributes)
    set_module_path(moved, f"{module_path(mark)}/pooled".lstrip("/"))
    y.replace_all_uses_with(moved.outputs[0], replace_graph_outputs=True)
    moved.replace_input_with(0, y)
    pool.replace_input_with(0, x)
    graph.remove(mark, safe=True)
    graph.insert_after(pool, moved)
    return _behind_pools(graph, moved)


def _lower(graph: ir.Graph, mark: ir.Node) -> _Planes:
    """Rules 1 and 2."""
    x, thresholds = operand(mark, 0), constant(mark, 1).astype(np.float32)
    scale, shift = (mark.attributes[name].as_float() for name in ("scale", "shift"))
    if shift - scale * len(thresholds) == 0:  # rule 4
        x = _inserted(graph, mark, real_node("Neg", [x], mark, x.shape))
        thresholds, scale = -np.nextafter(thresholds, np.float32(-np.inf))[::-1], -scale
    factors, thresholds, missing = _filled(thresholds)
    levels = [
        _sign(graph, mark, _difference(graph, mark, x, threshold), f"level{number}")
        for number, threshold in enumerate(thresholds, 1)
    ]
    if len(factors) == len(levels):
        planes = levels
    else:
        planes = [_plane(graph, mark, levels, bit) for bit in range(len(factors))]
    return _Planes(tuple(planes), factors, scale, shift + scale * missing)


def _filled(thresholds: Array) -> tuple[tuple[int, ...], Array, int]:
    """The factors of the planes, thresholds for them, and how many of these were added."""
    count = len(thresholds)
    if count <= 2:
        return (1,) * count, thresholds, 0
    bits = count.bit_length()
    missing = 2**bits - 1 - count
    infinite = np.full((missing, *thresholds.shape[1:]), np.inf, np.float32)
    factors = tuple(1 << bit for bit in range(bits))
    return factors, np.concatenate([thresholds, infinite]), missing


def _difference(graph: ir.Graph, mark: ir.Node, x: ir.Value, threshold: Array) -> ir.Value:
    if not threshold.any():
        return x
    limit = add_constant(graph, parameter_name(mark, "limit"), threshold)
    return _inserted(graph, mark, real_node("Sub", [x, limit], mark, x.shape))


def _plane(graph: ir.Graph, mark: ir.Node, levels: list[ir.Value], bit: int) -> ir.Value:
    """The real signs of a bit of the level (rule 2)."""
    first, *others = levels[2**bit - 1 :: 2**bit]
    if not others:
        return first
    total = first
    for number, level in enumerate(others):
        op_type = "Add" if number % 2 else "Sub"
        total = _inserted(graph, mark, real_node(op_type, [total, level], mark, first.shape))
    return _sign(graph, mark, total, f"plane{bit}")


def _sign(graph: ir.Graph, mark: ir.Node, x: ir.Value, name: str) -> ir.Value:
    """Insert the sign of a value, and its real numbers -1.0 and +1.0."""
    signs = ir.DataType.UINT8
    sign = new_node("Sign", [x], source=mark, dtype=signs, shape=x.shape, domain=DOMAIN)
    path = f"{module_path(mark) or 'quantize'}/{name}"
    set_sign_record(sign.outputs[0], SignRecord(_free(graph, path), "none", is_output=False))
    graph.insert_before(mark, sign)
    return _inserted(graph, mark, dequantize(graph, sign.outputs[0], mark))


def _free(graph: ir.Graph, path: str) -> str:
    """A name of signs that no other signs have: `path`, `path#2` and so on."""
    taken = graph.meta.setdefault("bnnkit.levels", set())
    free, number = path, 2
    while free in taken:
        free, number = f"{path}#{number}", number + 1
    taken.add(free)
    return free


def _inserted(graph: ir.Graph, before: ir.Node, node: ir.Node) -> ir.Value:
    graph.insert_before(before, node)
    return node.outputs[0]


def _distribute(graph: ir.Graph, value: ir.Value, planes: _Planes, *, has_draws: bool) -> None:
    """Rules 3, 4 and 6."""
    for node in [use.node for use in value.uses() if use.idx == 0]:
        if node.domain != "" or node.graph is not graph or len(node.outputs) != 1:
            continue
        mark = weight_mark(node)
        if mark is not None:
            is_drawn = has_draws and mark.attributes["noise"].as_string() != "none"
            if not (is_drawn and planes.shift):
                _replace_layer(graph, node, mark, planes)
            continue
        moved = _moved(graph, node, planes)
        if moved is not None:
            _distribute(graph, node.outputs[0], moved, has_draws=has_draws)


def _moved(graph: ir.Graph, node: ir.Node, planes: _Planes) -> _Planes | None:
    """Rule 6; None if the operator needs the value itself."""
    if node.op_type == "Pad" and node.attributes.get_string("mode", "constant") == "constant":
        number = array(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(())
        return None if number is None else _padded(graph, node, planes, float(number), node.inputs)
    if node.op_type not in KEEPS_ELEMENTS:
        return None
    moved = []
    for plane in planes.planes:
        inputs = [plane, *node.inputs[1:]]
        shape = node.outputs[0].shape
        moved.append(real_node(node.op_type, inputs, node, shape, "", node.attributes))
    graph.insert_before(node, moved)
    return replace(planes, planes=tuple(new.outputs[0] for new in moved))


def _padded(
    graph: ir.Graph,
    node: ir.Node,
    planes: _Planes,
    number: float,
    inputs: Sequence[ir.Value | None],
    shape: ir.Shape | None = None,
) -> _Planes | None:
    """The planes, padded with those of a level; None if the number is not a level."""
    signs = planes.signs_of(number)
    if signs is None:
        return None
    new = []
    for plane, sign in zip(planes.planes, signs, strict=True):
        side = add_constant(graph, parameter_name(node, "side"), np.array(sign, np.float32))
        operands = [plane, inputs[1], side, *inputs[3:]]
        new.append(real_node("Pad", operands, node, shape or node.outputs[0].shape))
    graph.insert_before(node, new)
    return replace(planes, planes=tuple(pad.outputs[0] for pad in new))


def _replace_layer(graph: ir.Graph, node: ir.Node, mark: ir.Node, planes: _Planes) -> None:
    """Rule 3."""
    latent = constant(mark, 0)
    largest = np.prod(latent.shape[1:], dtype=np.int64) * sum(planes.factors)
    if largest >= _LARGEST or not np.isfinite(latent).all():
        return
    padded, attributes = planes, dict(node.attributes)
    if planes.shift and any(node.attributes.get_ints("pads", (0,))):
        found = _with_pads(graph, node, planes)
        if found is None:
            return
        padded = found
        attributes["pads"] = ir.AttrInt64s("pads", [0, 0, 0, 0])
    y = node.outputs[0]
    value = _Expression(graph, node, y.shape)
    sums = []
    for plane in padded.planes:
        inputs = [plane, node.inputs[1]]
        value.nodes.append(real_node(node.op_type, inputs, node, y.shape, "", attributes))
        sums.append(value.nodes[-1].outputs[0])
    total = value.total(sums, padded.factors)
    for op_type, number, name in _affine(node, y, latent, padded):
        total = value.apply(op_type, total, number, name)
    replace_node(graph, node, value.nodes)


def _with_pads(graph: ir.Graph, node: ir.Node, planes: _Planes) -> _Planes | None:
    """Rule 4: the planes, padded as the convolution pads."""
    top, left, bottom, right = node.attributes["pads"].as_ints()
    sides = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
    x = operand(node, 0)
    shape = x.shape
    if shape is None or len(shape) != 4:
        return None
    sizes: list[int | ir.SymbolicDim | None] = list(shape)
    for axis, pads in ((2, top + bottom), (3, left + right)):
        size = sizes[axis]
        sizes[axis] = size + pads if isinstance(size, int) else None
    pads_of = add_constant(graph, parameter_name(node, "sides"), sides)
    return _padded(graph, node, planes, 0.0, [x, pads_of], ir.Shape(sizes))


def _affine(
    node: ir.Node, y: ir.Value, latent: Array, planes: _Planes
) -> Iterator[tuple[str, Array, str]]:
    """The scale, the shift times the sum of the weights, and the bias, unless they are neutral."""
    is_map = node.op_type == "Conv"

    def column(numbers: Array) -> Array:
        return channel_column(numbers, y) if is_map else numbers

    if planes.scale != 1:
        yield "Mul", np.array(planes.scale, np.float32), "scale"
    sums = np.where(latent >= 0, 1, -1).reshape(len(latent), -1).sum(1)
    if planes.shift and sums.any():
        yield "Add", column((sums * planes.shift).astype(np.float32)), "shift"
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        yield "Add", column(constant(node, 2)), "bias"
