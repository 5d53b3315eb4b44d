"""Constants with the same row for each image become one row, where an operator broadcasts it.

A file computes such constants from the number of images, such as the product of a first state of
zeros in a recurrent layer that torch has unrolled. The batch may be any of their axes.
"""

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import BROADCASTS
from bnnkit.export.from_onnx.batch_constants import OTHER_SIZE, BatchConstants
from bnnkit.export.ir.graph import add_constant, array, nodes

Array = NDArray[Any]


def broadcast_rows(graph: ir.Graph, batch: BatchConstants) -> None:
    """Run the pass."""
    for node in nodes(graph, *sorted(BROADCASTS)):
        for index, value in enumerate(node.inputs):
            row = None if value is None else _row(value, node, batch)
            if value is not None and row is not None:
                node.replace_input_with(index, add_constant(graph, f"{value.name}/row", row))


def _row(constant: ir.Value, node: ir.Node, batch: BatchConstants) -> Array | None:
    """The row that a constant repeats for each image; None if it is needed as it is."""
    both = batch.both(constant)
    if both is None or both[0].ndim != both[1].ndim:
        return None
    content, other = both
    axes = [axis for axis, size in enumerate(content.shape) if size != other.shape[axis]]
    if len(axes) != 1 or (content.shape[axes[0]], other.shape[axes[0]]) != (
        batch.size,
        OTHER_SIZE,
    ):
        return None
    row = content.take([0], axis=axes[0])
    if not ((content == row).all() and (other == row).all()):
        return None
    place = axes[0] - content.ndim
    others = [value for value in node.inputs if value is not None and value is not constant]
    return row if any(_has_images(value, place, batch) for value in others) else None


def _has_images(value: ir.Value, place: int, batch: BatchConstants) -> bool:
    """Whether a computed value has the images at an axis, counted from the last."""
    if array(value) is not None or value.shape is None or -place > len(value.shape):
        return False
    return batch.other_shape(value)[place] == OTHER_SIZE
