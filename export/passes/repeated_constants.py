"""Constants that are repeated for each image, such as a class token, as values of the batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.ir.graph import add_constant, array, operand, rank
from bnnkit.export.passes.batch_place import (
    FRONT,
    Place,
    Sizes,
    axis_of_batch,
    sizes_of,
    without_batch,
)
from bnnkit.export.passes.batch_values import BatchValues, Result


def joined_with_rows(
    values: BatchValues, node: ir.Node, place: Place, axis: int
) -> Sequence[Result] | None:
    """A `Concat` of computed parts and of constants with the same row for each image.

    The computed parts are padded with zeros where the rows stand, which are added. (x + 0 is x.)
    """
    y = node.outputs[0]
    given = [operand(node, index) for index in range(len(node.inputs))]
    rows = [None if x in values.places else _row(values, x, place) for x in given]
    if any(row is None and x not in values.places for x, row in zip(given, rows, strict=True)):
        return None
    if y.dtype != ir.DataType.FLOAT:
        return None
    sizes = without_batch(values.sizes(y), place)
    content, parts, start = np.zeros((1, *sizes), np.float32), list[ir.Value](), 0
    for x, row in zip(given, rows, strict=True):
        length = values.sizes(x)[axis]
        if row is None:
            parts.append(_apart(values, node, x, axis, (start, sizes[axis] - start - length)))
        else:
            content[(slice(None),) * (axis + 1) + (slice(start, start + length),)] = row[None]
        start += length
    total = parts[0]
    constant = add_constant(values.graph, f"{y.name}/rows", content)
    for part in (*parts[1:], constant):
        total = values.new("Add", [total, part], node, sizes)
    return [(total, place)]


def _row(values: BatchValues, x: ir.Value, place: Place) -> NDArray[np.float32] | None:
    """What a constant is for one image; None if it is not the same for each."""
    content = array(x)
    if content is None or place.rest != 1 or content.shape[place.axis] != values.images:
        return None
    row = content.take([0], axis=place.axis)
    return np.asarray(row, np.float32) if (content == row).all() else None


def _apart(
    values: BatchValues, node: ir.Node, x: ir.Value, axis: int, gap: tuple[int, int]
) -> ir.Value:
    """A value, padded with zeros before and after it along an axis."""
    inner = values.inner(x)
    sides = np.zeros((2, len(inner) + 1), np.int64)
    sides[:, axis + 1] = gap
    sizes = (*inner[:axis], inner[axis] + sum(gap), *inner[axis + 1 :])
    inputs = [values.primed(x, node), values.constant(node, sides.reshape(-1).tolist())]
    return values.new("Pad", inputs, node, sizes)


def fill(values: BatchValues, node: ir.Node) -> None:
    """A constant repeated for each image, such as a class token or a state before all steps."""
    y, content = node.outputs[0], _repeated(node)
    axis = axis_of_batch(y)
    if content is None or axis is None or sizes_of(y, values.images) is None:
        return
    if axis == 0:
        values.places[y] = FRONT
        return
    place = Place(axis)
    sizes = without_batch(values.sizes(y), place)
    aligned = content.reshape((1,) * (1 + rank(y) - content.ndim) + content.shape)
    if aligned.shape[axis + 1] != 1:
        return
    if node.op_type == "Tile":
        whole = (1, *sizes)
        aligned = np.tile(aligned, [a // b for a, b in zip(whole, aligned.shape, strict=True)])
    values.places[y] = place
    row: ir.Value | None = node.inputs[0]
    if content.size != 1 or node.op_type == "ConstantOfShape":
        row = add_constant(values.graph, f"{y.name}/row", aligned)
    values.first[y] = _for_each_image(values, node, row, sizes)


def _repeated(node: ir.Node) -> NDArray[Any] | None:
    """What an `Expand`, a `Tile` or a `ConstantOfShape` repeats; None if it is computed."""
    if node.op_type != "ConstantOfShape":
        return array(node.inputs[0])
    if "value" not in node.attributes:
        return np.zeros(1, np.float32)
    return node.attributes["value"].as_tensor().numpy()


def _for_each_image(
    values: BatchValues, node: ir.Node, row: ir.Value | None, sizes: Sizes
) -> ir.Value:
    """A row, repeated for each image."""
    count = values.new(
        "Shape", [values.graph.inputs[0]], node, (), {"start": 0, "end": 1}, ir.DataType.INT64
    )
    others = values.constant(node, sizes)
    shape = values.new("Concat", [count, others], node, (), {"axis": 0}, ir.DataType.INT64)
    count.shape, shape.shape = ir.Shape([1]), ir.Shape([1 + len(sizes)])
    return values.new("Expand", [row, shape], node, sizes)
