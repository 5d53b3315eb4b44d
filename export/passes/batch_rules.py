"""How operators are computed on values whose batch has been put first (`batch_first.py`).

Each function gives the new value and the place of the batch in the old one, or None if the
operator mixes images or has a form that is not known.
"""

from collections.abc import Callable, Sequence
from typing import Final

import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import BROADCASTS, RECURRENT, with_result
from bnnkit.errors import UnsupportedError
from bnnkit.export.ir.graph import (
    add_constant,
    array,
    label,
    new_node,
    operand,
    rank,
)
from bnnkit.export.passes.batch_axis_rules import (
    einsum,
    expand,
    pad,
    place_of_largest,
    running_sum,
    sorted_along,
    tile,
)
from bnnkit.export.passes.batch_place import (
    FRONT,
    Place,
    place_in,
    sizes_of,
    without_batch,
)
from bnnkit.export.passes.batch_values import BatchValues, Result
from bnnkit.export.passes.lower_signs import ROWS
from bnnkit.export.passes.repeated_constants import joined_with_rows

ELEMENTWISE: Final = BROADCASTS | with_result("exact", "approximate", "same") - {
    "BatchNormalization"
}
_REDUCTIONS: Final = {
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
}


def sign(values: BatchValues, node: ir.Node) -> Sequence[Result]:
    """The signs of a value.

    Raises:
        UnsupportedError: They draw noise, which torch numbers by the first axis.
    """
    if values.stochastic and node.attributes["noise"].as_string() != "none":
        raise UnsupportedError(
            f"expected the batch as first axis of {label(node)}, which draws noise for each"
            " image: keep the batch first, use noise='none' there, or export with mode"
            " deterministic"
        )
    x = operand(node, 0)
    y = values.new(
        "Sign",
        [values.primed(x, node)],
        node,
        values.inner(x),
        dict(node.attributes),
        None,
        DOMAIN,
    )
    y.producer().meta[ROWS] = True  # type: ignore[union-attr]  # it has just been made
    return [(y, values.places[x])]


def _elementwise(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    y = node.outputs[0]
    aligned = {
        values.places[x].at(values.places[x].axis + rank(y) - rank(x))
        for x in node.inputs
        if x in values.places
    }
    if len(aligned) > 1:
        return None
    (place,) = aligned
    inputs: list[ir.Value | None] = []
    for x in node.inputs:
        if x is None or x not in values.places:
            if x is not None and not _is_same_for_all(values, x, place.axis - rank(y)):
                return None
            inputs.append(x)
        else:
            missing = (1,) * (rank(y) - rank(x))
            primed = values.primed(x, node)
            wide = (*missing, *values.inner(x))
            inputs.append(values.reshaped(node, primed, wide) if missing else primed)
    sizes = without_batch(values.sizes(y), place)
    return [(values.new(node.op_type, inputs, node, sizes, dict(node.attributes)), place)]


def _is_same_for_all(values: BatchValues, x: ir.Value, axis: int) -> bool:
    """Whether a constant has one number along an axis, counted from the last."""
    sizes = sizes_of(x, values.images)
    return sizes is not None and (-axis > len(sizes) or sizes[axis] == 1)


def _reduction(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x, y = operand(node, 0), node.outputs[0]
    content = array(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = node.attributes.get_ints("axes", ()) if content is None else content.tolist()
    axes = [axis % rank(x) for axis in axes]
    place = values.places[x]
    if not axes or place.axis in axes:
        return None
    attributes = dict(node.attributes)
    attributes.pop("axes", None)
    keeps = node.attributes.get_int("keepdims", 1)
    after = place.at(place.axis - (0 if keeps else sum(a < place.axis for a in axes)))
    inputs = [values.primed(x, node), values.constant(node, [axis + 1 for axis in axes])]
    sizes = without_batch(values.sizes(y), after)
    return [(values.new(node.op_type, inputs, node, sizes, attributes), after)]


def _transpose(values: BatchValues, node: ir.Node) -> Sequence[Result]:
    x = operand(node, 0)
    perm = list(node.attributes.get_ints("perm", tuple(reversed(range(rank(x))))))
    place = values.places[x].at(perm.index(values.places[x].axis))
    if values.places[x] == FRONT == place:
        return [(node.outputs[0], FRONT)]
    primed, inner = values.primed(x, node), values.inner(x)
    sizes = tuple(inner[axis] for axis in perm)
    long = [axis for axis in perm if inner[axis] > 1]
    if long == sorted(long):
        return [(values.reshaped(node, primed, sizes), place)]
    attributes = {"perm": (0, *(axis + 1 for axis in perm))}
    return [(values.new("Transpose", [primed], node, sizes, attributes), place)]


def _reshape(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x, y = operand(node, 0), node.outputs[0]
    hint = _known_axis(values, node)
    place = place_in(values.inner(x), values.places[x], values.sizes(y), values.images, hint)
    if place is None or (values.places[x] == FRONT == place):
        return None if place is None else [(y, FRONT)]
    sizes = without_batch(values.sizes(y), place)
    start = values.primed(x, node) if x in values.first or x in values.parts else x
    return [(values.reshaped(node, start, sizes), place)]


def _known_axis(values: BatchValues, node: ir.Node) -> int | None:
    """The axis that holds the batch after a change of shape, if it is known."""
    x, axis = operand(node, 0), values.places[operand(node, 0)].axis
    if node.op_type == "Flatten":
        return int(axis >= node.attributes.get_int("axis", 1) % (rank(x) + 1))
    content = array(node.inputs[1]) if len(node.inputs) > 1 else None
    if node.op_type == "Reshape":
        is_kept = content is not None and content[axis : axis + 1].tolist() == [0]
        is_kept = is_kept and not node.attributes.get_int("allowzero", 0)
        return axis if is_kept else values.hint(node.outputs[0], node)
    if content is None:
        return None
    n_axes = rank(node.outputs[0]) if node.op_type == "Unsqueeze" else rank(x)
    axes = {int(one) % n_axes for one in content}
    if node.op_type == "Squeeze":
        return axis - sum(one < axis for one in axes)
    return [one for one in range(n_axes) if one not in axes][axis]


def _mat_mul(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    left, right, y = operand(node, 0), operand(node, 1), node.outputs[0]
    if min(rank(left), rank(right)) < 2:
        return None
    if left in values.places and right in values.places:
        places = [
            values.places[x].at(values.places[x].axis + rank(y) - rank(x)) for x in (left, right)
        ]
        if places[0] != places[1] or places[0].axis >= rank(y) - 2:
            return None
        if rank(left) != rank(right):
            return None
        place = places[0]
    elif left in values.places:
        place = values.places[left]
        if rank(right) != 2 or place.axis == rank(left) - 1:
            return None
    else:
        place = values.places[right]
        if rank(left) != 2 or place.axis == rank(right) - 2:
            return None
    inputs = [values.primed(x, node) if x in values.places else x for x in (left, right)]
    sizes = without_batch(values.sizes(y), place)
    return [(values.new("MatMul", inputs, node, sizes), place)]


def _gemm(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x, weight = operand(node, 0), operand(node, 1)
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    is_plain = factors == [1, 1] and not node.attributes.get_int("transA", 0)
    if weight in values.places or values.places.get(x, FRONT).axis != 0 or not is_plain:
        return None
    if node.attributes.get_int("transB", 0):
        weight = _turned(values, node, weight)
    sizes = without_batch(values.sizes(node.outputs[0]), values.places[x])
    y = values.new("MatMul", [values.primed(x, node), weight], node, sizes)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = operand(node, 2)
        if bias in values.places or (rank(bias) == 2 and values.sizes(bias)[0] != 1):
            return None
        y = values.new("Add", [y, bias], node, sizes)
    return [(y, values.places[x])]


def _turned(values: BatchValues, node: ir.Node, weight: ir.Value) -> ir.Value:
    content = array(weight)
    if content is not None:
        return add_constant(values.graph, f"{weight.name}/turned", content.T)
    turned = new_node(
        "Transpose",
        [weight],
        source=node,
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(values.sizes(weight)[::-1]),
        attributes={"perm": (1, 0)},
    )
    turned.name, turned.outputs[0].name = values.names(node, "Transpose")
    values.graph.insert_before(node, turned)
    return turned.outputs[0]


def _along_axis(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """Softmax, LayerNormalization and the like, which combine numbers along an axis."""
    x = operand(node, 0)
    axis = node.attributes.get_int("axis", -1) % rank(x)
    place = values.places[x]
    if place.axis == axis or (node.op_type == "LayerNormalization" and place.axis > axis):
        return None
    if len(node.outputs) > 1 or any(other in values.places for other in node.inputs[1:]):
        return None
    inputs = [values.primed(x, node), *node.inputs[1:]]
    attributes = dict(node.attributes) | {"axis": axis + 1}
    return [(values.new(node.op_type, inputs, node, values.inner(x), attributes), place)]


def _batch_norm(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x = operand(node, 0)
    place, inner = values.places[x], values.inner(x)
    if place.axis == 1 or len(node.outputs) > 1 or rank(x) < 2:
        return None
    perm = [0, 2, 1, *range(3, rank(x) + 1)]
    turned_sizes = (inner[1], inner[0], *inner[2:])
    turned = values.new("Transpose", [values.primed(x, node)], node, turned_sizes, {"perm": perm})
    inputs = [turned, *node.inputs[1:]]
    attributes = dict(node.attributes)
    y = values.new("BatchNormalization", inputs, node, turned_sizes, attributes)
    return [(values.new("Transpose", [y], node, inner, {"perm": perm}), place)]


def _concat(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    places = {values.places[x] for x in node.inputs if x in values.places}
    axis = node.attributes["axis"].as_int() % rank(node.outputs[0])
    (place, *others) = places
    if others or place.axis == axis:
        return None
    if any(x not in values.places for x in node.inputs):
        return joined_with_rows(values, node, place, axis)
    inputs = [values.primed(operand(node, i), node) for i in range(len(node.inputs))]
    sizes = without_batch(values.sizes(node.outputs[0]), place)
    return [(values.new("Concat", inputs, node, sizes, {"axis": axis + 1}), place)]


def _split(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x = operand(node, 0)
    place, axis = values.places[x], node.attributes.get_int("axis", 0) % rank(x)
    if axis == place.axis:
        return None
    results: list[Result] = []
    start = 0
    for y in node.outputs:
        end = start + values.sizes(y)[axis]
        bounds = [values.constant(node, [number]) for number in (start, end, axis + 1)]
        sizes = without_batch(values.sizes(y), place)
        results.append(
            (values.new("Slice", [values.primed(x, node), *bounds], node, sizes), place)
        )
        start = end
    return results


def _slice(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x, y = operand(node, 0), node.outputs[0]
    place = values.places[x]
    given = [array(value) for value in node.inputs[1:]]
    if any(content is None for content in given):
        return None
    axes = given[2].tolist() if len(given) > 2 else list(range(len(given[0])))  # type: ignore[union-attr,arg-type]
    axes = [axis % rank(x) for axis in axes]
    if place.axis in axes:
        return None
    moved = values.constant(node, [axis + 1 for axis in axes])
    inputs = [values.primed(x, node), *node.inputs[1:3], moved, *node.inputs[4:]]
    sizes = without_batch(values.sizes(y), place)
    return [(values.new("Slice", inputs, node, sizes), place)]


def _gather(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    x, indices, y = operand(node, 0), operand(node, 1), node.outputs[0]
    axis = node.attributes.get_int("axis", 0) % max(1, rank(x))
    if x not in values.places or indices in values.places or values.places[x].axis == axis:
        return None
    place = values.places[x]
    after = place.at(place.axis + (rank(indices) - 1 if place.axis > axis else 0))
    sizes = without_batch(values.sizes(y), after)
    inputs = [values.primed(x, node), indices]
    return [(values.new("Gather", inputs, node, sizes, {"axis": axis + 1}), after)]


def _recurrent(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """LSTM, GRU and RNN, of which all values but the constants have the batch as axis 1.

    They stay as they are, between transpositions from and to values with the batch first.
    """
    states = [x for x in node.inputs[5:7] if x is not None]
    given = [operand(node, 0), *states]
    is_plain = all(values.places.get(x) == Place(1) for x in given)
    layout = node.attributes.get_int("layout", 0)
    if not is_plain or layout == 1:
        return None
    turned: dict[ir.Value, ir.Value] = {}
    for x in given:
        before, _, behind = values.inner(x)
        flat = values.reshaped(node, values.primed(x, node), (before, behind))
        turned[x] = values.new("Transpose", [flat], node, (), {"perm": (1, 0, 2)}, x.dtype)
        turned[x].shape = x.shape
    layer = ir.node(
        node.op_type,
        [turned.get(x, x) if x is not None else None for x in node.inputs],
        dict(node.attributes),
        num_outputs=len(node.outputs),
        name=values.names(node, node.op_type)[0],
    )
    layer.metadata_props.update(node.metadata_props)
    values.graph.insert_before(node, layer)
    results: list[Result] = []
    for old, new in zip(node.outputs, layer.outputs, strict=True):
        place = Place(rank(old) - 2)
        new.name, new.shape, new.dtype = f"{old.name}/steps", old.shape, ir.DataType.FLOAT
        order = (place.axis, *(i for i in range(rank(old)) if i != place.axis))
        inner = values.sizes(old)
        sizes = tuple(inner[i] for i in order[1:])
        first = values.new("Transpose", [new], node, sizes, {"perm": order}, new.dtype)
        results.append((values.reshaped(node, first, without_batch(inner, place)), place))
    return results


RULES: Final[dict[str, Callable[[BatchValues, ir.Node], Sequence[Result] | None]]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "MatMul": _mat_mul,
    "Gemm": _gemm,
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization"), _along_axis),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": pad,
    "Tile": tile,
    "Expand": expand,
    "CumSum": running_sum,
    "Einsum": einsum,
    **dict.fromkeys(("ArgMax", "ArgMin"), place_of_largest),
    "TopK": sorted_along,
    **dict.fromkeys(RECURRENT, _recurrent),
}
"""The rules by operator of ONNX."""
