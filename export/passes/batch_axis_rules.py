"""Rules for `Pad`, `Tile`, `Expand`, `CumSum`, `ArgMax`, `ArgMin`, `TopK` and `Einsum`.

They work along other axes than that of the batch. `batch_rules.py` has the other rules, and the
table of them all.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.artifact.operators.subscripts import subscripts
from bnnkit.export.ir.graph import add_constant, array, operand, rank
from bnnkit.export.passes.batch_place import (
    without_batch,
)
from bnnkit.export.passes.batch_values import BatchValues, Result

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def pad(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """A `Pad` of other axes than that of the batch."""
    x, y = operand(node, 0), node.outputs[0]
    place, sides = values.places[x], array(node.inputs[1])
    given = array(node.inputs[3]) if len(node.inputs) > 3 else None
    if sides is None or (len(node.inputs) > 3 and node.inputs[3] is not None and given is None):
        return None
    axes = list(range(rank(x))) if given is None else [int(a) % rank(x) for a in given]
    widths = np.zeros((2, rank(x)), np.int64)
    widths[:, axes] = sides.reshape(2, -1)
    if widths[:, place.axis].any():
        return None
    moved = np.concatenate([np.zeros((2, 1), np.int64), widths], axis=1).reshape(-1)
    inputs = [values.primed(x, node), values.constant(node, moved.tolist()), *node.inputs[2:3]]
    sizes = without_batch(values.sizes(y), place)
    return [(values.new("Pad", inputs, node, sizes, dict(node.attributes), x.dtype), place)]


def tile(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """A `Tile` along other axes than that of the batch."""
    x, y = operand(node, 0), node.outputs[0]
    place, repeats = values.places[x], array(node.inputs[1])
    if repeats is None or repeats[place.axis] != 1:
        return None
    inputs = [values.primed(x, node), values.constant(node, [1, *repeats.tolist()])]
    sizes = without_batch(values.sizes(y), place)
    return [(values.new("Tile", inputs, node, sizes, dtype=x.dtype), place)]


def expand(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """An `Expand` that keeps the axis of the batch; its sizes need not be constant."""
    x, y = operand(node, 0), node.outputs[0]
    before = values.places[x]
    place = before.at(before.axis + rank(y) - rank(x))
    if values.sizes(y)[place.axis] != values.sizes(x)[before.axis]:
        return None
    sizes = without_batch(values.sizes(y), place)
    wide = (*(1,) * (rank(y) - rank(x)), *values.inner(x))
    inputs = [
        values.reshaped(node, values.primed(x, node), wide),
        values.constant(node, [1, *sizes]),
    ]
    return [(values.new("Expand", inputs, node, sizes, dtype=x.dtype), place)]


def running_sum(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """A `CumSum` along another axis than that of the batch."""
    x, axis = operand(node, 0), array(node.inputs[1])
    place = values.places[x]
    if axis is None or int(axis) % rank(x) == place.axis:
        return None
    number = np.array(int(axis) % rank(x) + 1, np.int64)
    moved = add_constant(values.graph, f"{node.outputs[0].name}/axis", number)
    inputs = [values.primed(x, node), moved]
    sizes = values.inner(x)
    return [(values.new("CumSum", inputs, node, sizes, dict(node.attributes), x.dtype), place)]


def place_of_largest(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """`ArgMax` and `ArgMin` along another axis than that of the batch."""
    x, y = operand(node, 0), node.outputs[0]
    axis, place = node.attributes.get_int("axis", 0) % rank(x), values.places[x]
    if axis == place.axis:
        return None
    is_kept = node.attributes.get_int("keepdims", 1)
    after = place if is_kept else place.at(place.axis - (axis < place.axis))
    attributes = dict(node.attributes) | {"axis": axis + 1}
    sizes = without_batch(values.sizes(y), after)
    return [(values.new(node.op_type, [values.primed(x, node)], node, sizes, attributes), after)]


def sorted_along(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """`TopK` along another axis than that of the batch: its numbers and their places."""
    x = operand(node, 0)
    axis, place = node.attributes.get_int("axis", -1) % rank(x), values.places[x]
    if axis == place.axis:
        return None
    attributes = dict(node.attributes)
    attributes["axis"] = ir.AttrInt64("axis", axis + 1)
    name, _ = values.names(node, node.op_type)
    count = values.constant(node, [values.sizes(node.outputs[0])[axis]])
    inputs = [values.primed(x, node), count]
    new = ir.Node("", node.op_type, inputs, attributes.values(), num_outputs=2, name=name)
    new.metadata_props.update(node.metadata_props)
    values.graph.insert_before(node, new)
    for old, made, kind in zip(node.outputs, new.outputs, ("values", "places"), strict=True):
        made.name, made.dtype = f"{name}/{kind}", old.dtype or ir.DataType.FLOAT
        made.shape = values.shape_of(without_batch(values.sizes(old), place))
    return [(made, place) for made in new.outputs]


def einsum(values: BatchValues, node: ir.Node) -> Sequence[Result] | None:
    """An `Einsum` in which one letter is the batch wherever a value depends on the images."""
    terms, result = subscripts(
        {"equation": node.attributes["equation"].as_string()}, len(node.inputs)
    )
    pairs = [(operand(node, i), term) for i, term in enumerate(terms)]
    placed = [(x, term) for x, term in pairs if x in values.places]
    if any("." in term or len(set(term)) < len(term) for term in (*terms, result)):
        return None
    letters = {term[values.places[x].axis] for x, term in placed}
    batches = {values.places[x].at(0) for x, _ in placed}
    (letter, *others), (place, *more) = letters, batches
    is_shared = any(letter in term for x, term in pairs if x not in values.places)
    if others or more or is_shared or letter not in result:
        return None
    new = next(one for one in _LETTERS if one not in "".join((*terms, result)))
    moved = [new + term if x in values.places else term for x, term in pairs]
    equation = f"{','.join(moved)}->{new}{result}"
    inputs = [values.primed(x, node) if x in values.places else x for x, _ in pairs]
    place = place.at(result.index(letter))
    sizes = without_batch(values.sizes(node.outputs[0]), place)
    return [(values.new("Einsum", inputs, node, sizes, {"equation": equation}), place)]
