"""Makes the batch a free first axis, even if the file was exported for one batch size.

1. A `Reshape` that keeps the first axis gets -1 for it, and the known sizes for the others.
2. An `Expand` gets the first size 1, as the first axis of its operand is the batch already.
3. A `Resize` to known sizes leaves out the axes that it does not change.
4. A `Slice` that takes all images gets the largest end: one that ends with the batch. If the batch
   is free, a number in the file is not the batch, whatever its size: `x[:1]` is the first image.
5. A constant with the same row for each image, as part of a `Concat`, is added: the part beside it
   is padded with zeros, and the row stands where the zeros are. (x + 0 is x.)
6. The shapes are then inferred for another batch size. The batch is free if every value that
   depends on the input has the new size as its first axis, and its other axes are unchanged. The
   values of a recurrent layer, which have the steps first (`batch_first.py`), have it as the axis
   before the last.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import RECURRENT
from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.batch_constants import BatchConstants
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.from_onnx.read_source import infer_shapes
from bnnkit.export.from_torch.marked_graph import BATCH
from bnnkit.export.ir.graph import add_constant, array, nodes, operand, real_node, replace

Array = NDArray[Any]
_OTHER: Final = 1009
"""A batch size that no other axis is likely to have."""
_LAST: Final = np.iinfo(np.int64).max


def free_batch(model: ir.Model, batch: BatchConstants) -> ir.Model:
    """The model with a free batch axis.

    Args:
        model: A model with the shapes for the size of `batch`.
        batch: The batch size that it was exported for.

    Raises:
        UnsupportedError: An operator mixes the batch with other axes, or depends on its size.
    """
    known = {value.name: value.shape for node in model.graph for value in node.outputs}
    for node in nodes(model.graph, *_RULES):
        _RULES[node.op_type](model.graph, node, batch)
    known |= {value.name: value.shape for node in model.graph for value in node.outputs}
    other = infer_shapes(model, _OTHER)
    for node in other.graph:
        for value in node.outputs:
            if value.name:
                _check(node, value, known[value.name], batch)
    for value in other.graph.inputs:
        value.shape = ir.Shape([BATCH, *(value.shape or ())[1:]])
    return other


def _check(node: ir.Node, value: ir.Value, before: ir.Shape | None, batch: BatchConstants) -> None:
    """Rule 6."""
    if before is None or value.shape is None:
        raise UnsupportedError(
            f"expected {named(node)} to give a shape that ONNX can infer, got none"
        )
    axis = len(before) - 2 if _is_recurrent(node) else 0
    if tuple(before[axis : axis + 1]) != (batch.size,) or tuple(value.shape) != _with(
        before, axis, _OTHER
    ):
        raise UnsupportedError(
            f"expected {named(node)} to keep the batch as first axis, got the shape {value.shape}"
            f" for a batch of {_OTHER} and {before} for {batch.size}; export the network"
            + (" with a batch that nothing else depends on" if batch.is_free else _FREE_BATCH)
        )
    value.shape = ir.Shape(_with(before, axis, BATCH))


_FREE_BATCH: Final = (
    " with a free batch: dynamic_shapes={'x': {0: torch.export.Dim('batch')}} in torch.onnx.export"
)


def _with(shape: ir.Shape, axis: int, size: int | str) -> tuple[Any, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _is_recurrent(node: ir.Node) -> bool:
    """Whether a node is a recurrent layer, or transposes what only such layers take."""
    users = [user for value in node.outputs for user, _ in value.uses()]
    is_turned = node.op_type == "Transpose" and bool(users)
    return node.op_type in RECURRENT or (
        is_turned and all(user.op_type in RECURRENT for user in users)
    )


def _keep_first(graph: ir.Graph, node: ir.Node, batch: BatchConstants) -> None:
    """Rule 1."""
    before, after, sizes = operand(node, 0).shape, node.outputs[0].shape, array(node.inputs[1])
    if before is None or after is None or sizes is None or _joins_images(node, batch):
        return
    if before[0] == after[0] == batch.size:
        _replace_constant(graph, node, 1, np.array([-1, *after[1:]], np.int64))
        node.attributes.pop("allowzero", None)


def _expand(graph: ir.Graph, node: ir.Node, batch: BatchConstants) -> None:
    """Rule 2."""
    before, after, sizes = operand(node, 0).shape, node.outputs[0].shape, array(node.inputs[1])
    if before is None or after is None or sizes is None or len(after) != sizes.size:
        return
    if before.rank() == sizes.size and before[0] == after[0] == batch.size:
        _replace_constant(graph, node, 1, np.array([1, *sizes[1:]], np.int64))


def _resize(graph: ir.Graph, node: ir.Node, batch: BatchConstants) -> None:
    """Rule 3."""
    x, sizes = operand(node, 0), array(node.inputs[3]) if len(node.inputs) > 3 else None
    is_cropped = len(node.inputs) > 1 and node.inputs[1] is not None
    if x.shape is None or sizes is None or is_cropped or "axes" in node.attributes:
        return
    changed = [axis for axis, size in enumerate(sizes) if size != x.shape[axis]]
    if not changed or changed[0] == 0 or _is_number(node.inputs[3], batch):
        return
    node.attributes["axes"] = ir.AttrInt64s("axes", changed)
    _replace_constant(graph, node, 3, sizes[changed])


def _slice(graph: ir.Graph, node: ir.Node, batch: BatchConstants) -> None:
    """Rule 4."""
    starts, ends = array(node.inputs[1]), array(node.inputs[2])
    given = [array(value) for value in node.inputs[3:]]
    if starts is None or ends is None or any(content is None for content in given):
        return
    axes = given[0] if given and given[0] is not None else np.arange(ends.size)
    steps = given[1] if len(given) > 1 and given[1] is not None else np.ones_like(ends)
    is_all = (axes == 0) & (starts == 0) & (steps == 1) & _ends_with_batch(node, ends, batch)
    if is_all.any():
        _replace_constant(graph, node, 2, np.where(is_all, _LAST, ends))


def _ends_with_batch(node: ir.Node, ends: Array, batch: BatchConstants) -> Array:
    other = batch.others.get(str(operand(node, 2).name), ends)
    is_all: Array = (other != ends) | (ends >= np.iinfo(np.int32).max)
    return is_all if batch.is_free else ends >= batch.size


def _joins_images(node: ir.Node, batch: BatchConstants) -> bool:
    """Whether a `Reshape` of a free batch makes one row of all images, as [1, -1] does."""
    sizes = operand(node, 1)
    content = array(sizes)
    has_rest = content is not None and -1 in content[1:].tolist()
    return has_rest and content is not None and content[0] != 0 and _is_number(sizes, batch)


def _is_number(sizes: ir.Value | None, batch: BatchConstants) -> bool:
    """Whether the batch is free, and the first of some sizes is a number of the file."""
    return batch.is_free and sizes is not None and str(sizes.name) not in batch.others


def _replace_constant(graph: ir.Graph, node: ir.Node, index: int, content: Array) -> None:
    name = f"{node.outputs[0].name}/{node.op_type.lower()}"
    node.replace_input_with(index, add_constant(graph, name, content))


def _join(graph: ir.Graph, node: ir.Node, batch: BatchConstants) -> None:
    """Rule 5."""
    y = node.outputs[0]
    values = [value for value in node.inputs if value is not None]
    rows = [_row(value, batch.size) for value in values]
    parts = [value for value, row in zip(values, rows, strict=True) if row is None]
    if not parts or len(parts) == len(rows) or y.dtype != ir.DataType.FLOAT or y.shape is None:
        return
    axis = node.attributes["axis"].as_int() % len(y.shape)
    if axis == 0:
        return
    before, after = _gaps(rows, axis)
    padded = [
        _padded(graph, node, part, axis, front, back)
        for part, front, back in zip(parts, before, after, strict=True)
    ]
    inputs = [part.outputs[0] for part in padded]
    joined = real_node("Concat", inputs, node, y.shape, "", {"axis": axis})
    content = [
        np.zeros((1, *(int(str(size)) for size in (value.shape or ())[1:])), np.float32)
        if row is None
        else row
        for value, row in zip(values, rows, strict=True)
    ]
    shift = add_constant(graph, f"{y.name}/rows", np.concatenate(content, axis))
    total = real_node("Add", [joined.outputs[0], shift], node, y.shape)
    replace(graph, node, [*padded, joined, total])


def _row(value: ir.Value, batch: int) -> Array | None:
    """The row (1, ...) of a constant that has the same for each image; else None."""
    content = array(value)
    if content is None or content.ndim == 0 or len(content) != batch:
        return None
    return content[:1] if (content == content[:1]).all() else None


def _gaps(rows: Sequence[Array | None], axis: int) -> tuple[list[int], list[int]]:
    """How much stands before the first and after each part that is computed, along an axis."""
    front, after = 0, []
    for row in rows:
        if row is None:
            after.append(0)
        elif after:
            after[-1] += row.shape[axis]
        else:
            front += row.shape[axis]
    return [front, *(0 for _ in after[1:])], after


def _padded(
    graph: ir.Graph, node: ir.Node, part: ir.Value, axis: int, front: int, back: int
) -> ir.Node:
    """A node that pads a part with zeros."""
    sizes = list(part.shape or ())
    pads = np.zeros((2, len(sizes)), np.int64)
    pads[:, axis] = front, back
    sizes[axis] = int(str(sizes[axis])) + front + back
    widths = add_constant(graph, f"{node.outputs[0].name}/pads", pads.reshape(-1))
    return real_node("Pad", [part, widths], node, ir.Shape(sizes))


_RULES: Final[dict[str, Callable[[ir.Graph, ir.Node, BatchConstants], None]]] = {
    "Reshape": _keep_first,
    "Expand": _expand,
    "Resize": _resize,
    "Slice": _slice,
    "Concat": _join,
}
