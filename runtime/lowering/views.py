"""Lowering of changes between maps, sequences and tokens, which are views of one memory.

A map (C, H, W) lies in memory with channels last, as do (H, W, C), tokens (T, C) for H = 1, and a
sequence (C, T). So the operators that turn one into another compute nothing.
"""

from collections.abc import Callable

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.artifact.standard.pooling import explicit_pads
from bnnkit.runtime.lowering.numpy_operator import BATCHES, example, input_of
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Layout, Value
from bnnkit.runtime.steps.real import CopyTokens

Form = tuple[tuple[int, ...], Layout]
"""The shape of a value without the batch, and its layout."""
LANES = 16
"""Numbers of a vector, to a multiple of which the channels of a map are padded."""
_READS_MATRICES = {"Transpose", "MatMul", "Softmax", "LayerNormalization", "Add", "Sub", "Mul"}
"""Operators that read the last axis of (N, A, T, C) as the channels, not those of a map."""
_HAS_MATRICES = {"Add", "Sub", "Mul", "Div", "LayerNormalization", "Unsqueeze", "Transpose"}
"""Operators that have kernels for an input with channels last."""


def lower_view(builder: PlanBuilder, node: Node) -> bool:
    """Lower a Transpose, Unsqueeze, Squeeze or Reshape that gives a view of its input.

    Returns:
        Whether the node is one.
    """
    if node.kind not in _FORMS or not builder.forms.fuses:
        return False
    value = builder.values.get(node.inputs[0])
    if value is None or value.kind not in ("real", "signs", "sums") or not value.is_map:
        return False
    if value.kind == "real" and value.dtype != FLOAT:
        return False
    if node.inputs[0] in builder.padded or node.inputs[0] in builder.flattened:
        return False
    found = _FORMS[node.kind](builder, node, value)
    if found is None or not _is_sufficient(builder, node, *found):
        return False
    shape, layout = found
    builder.values[node.outputs[0]] = Value(
        kind=value.kind,
        shape=shape,
        layout=layout,
        is_tight=value.is_tight,
        view_of=node.inputs[0],
    )
    return True


def _is_sufficient(
    builder: PlanBuilder, node: Node, shape: tuple[int, ...], layout: Layout
) -> bool:
    """Whether no reader needs more than a view: a map with padding around it."""
    if len(shape) != 3:
        return True
    readers = builder.graph.readers(node.outputs[0])
    if node.kind == "Reshape":
        return all(reader.kind in _READS_MATRICES for reader in readers)
    return layout != "onnx" or not any(map(_reads_margin, readers))


def _reads_margin(reader: Node) -> bool:
    """Whether an operator reads padding from around a map, which a view lacks."""
    return reader.kind == "Pad" or any(explicit_pads(reader.attributes))


def _reshaped(builder: PlanBuilder, node: Node, value: Value) -> Form | None:
    """Return the shape of a reshaped value whose numbers have no gaps in memory."""
    if value.kind != "real" or value.layout != "channels last":
        return None
    root = value
    while root.view_of is not None:
        root = builder.values[root.view_of]
    has_gaps = value.shape[-1] % LANES and not value.is_tight
    if root.layout != "channels last" or has_gaps:
        return None
    shapes = [_shape_for(builder, node, value, batch) for batch in BATCHES]
    if shapes[0] is None or shapes[0] != shapes[1] or len(shapes[0]) < 2:
        return None
    # Its channels need no padding to whole vectors, because no kernel writes to a view.
    return shapes[0], "channels last"


def _shape_for(
    builder: PlanBuilder, node: Node, value: Value, batch: int
) -> tuple[int, ...] | None:
    """Return the shape of an image that a Reshape gives for a batch; None if it moves images."""
    numbers = example(builder, input_of(builder, node.inputs[1]), batch)
    if numbers is None:
        return None
    try:
        found = STANDARD_OPERATORS["Reshape"](
            node.attributes, np.empty((batch, *value.shape), np.bool_), numbers
        )
    except ValueError:
        return None
    return found.shape[1:] if found.shape[:1] == (batch,) else None


def _transposed(builder: PlanBuilder, node: Node, value: Value) -> Form | None:
    """Return the shape and layout of a transposed value; None if it is not a view."""
    perm, shape = tuple(node.attributes.get("perm", ())), value.shape
    if value.layout == "channels last":
        if perm == (0, 2, 1) and len(shape) == 2:
            return (shape[1], shape[0]), "sequence"
        if perm == (0, 3, 1, 2) and len(shape) == 3:
            return (shape[2], *shape[:2]), "onnx"
    elif value.layout == "sequence" and perm == (0, 2, 1):
        return (shape[1], shape[0]), "channels last"
    elif value.layout == "onnx" and perm == (0, 2, 3, 1):
        return (*shape[1:], shape[0]), "channels last"
    return None


def _sized(builder: PlanBuilder, node: Node, value: Value) -> Form | None:
    """Return the shape and layout of a value with one axis of length 1 more or less."""
    axis = _axis(builder, node, value)
    if axis is None:
        return None
    shape = list(value.shape)
    is_new = node.kind == "Unsqueeze"
    if not is_new and shape[axis - 1 : axis] != [1]:
        return None
    if is_new:
        shape.insert(axis - 1, 1)
    else:
        del shape[axis - 1]
    key = (node.kind, value.layout, axis, len(value.shape))
    layout = _SIZED.get(key)
    return None if layout is None else (tuple(shape), layout)


_FORMS: dict[str, Callable[[PlanBuilder, Node, Value], Form | None]] = {
    "Transpose": _transposed,
    "Unsqueeze": _sized,
    "Squeeze": _sized,
    "Reshape": _reshaped,
}
"""The functions that return shape and layout of a view, by operator."""
_SIZED: dict[tuple[str, Layout, int, int], Layout] = {
    ("Unsqueeze", "channels last", 1, 2): "channels last",
    ("Squeeze", "channels last", 1, 3): "channels last",
    ("Unsqueeze", "sequence", 2, 2): "onnx",
    ("Squeeze", "onnx", 2, 3): "sequence",
}
"""Layout of the result, by the operator, the layout, the axis and the rank without the batch."""


def _axis(builder: PlanBuilder, node: Node, value: Value) -> int | None:
    """Return the only axis of a Squeeze or Unsqueeze, not negative; None for others."""
    found = node.attributes.get("axes", ())
    if len(node.inputs) > 1 and node.inputs[1]:
        if node.inputs[1] not in builder.constants:
            return None
        found = builder.constants[node.inputs[1]].reshape(-1).tolist()
    if len(found) != 1:
        return None
    rank = len(value.shape) + 1 + (node.kind == "Unsqueeze")
    return int(found[0]) % rank


def tokens_of_input(builder: PlanBuilder, node: Node, name: str) -> str:
    """Return an operand, as float32 with channels last if it is an input of the network (N, T, C).

    A copy of the input is appended once, for the first node that has a kernel for it.
    """
    value = builder.values.get(name)
    if value is None or value.kind != "image" or value.dtype != FLOAT or len(value.shape) != 2:
        return name
    if node.kind not in _HAS_MATRICES or not builder.forms.fuses:
        return name
    target = f"{name}/tokens"
    if target not in builder.values:
        copy = CopyTokens(name=node.name, source=name, target=target)
        builder.add(copy, Value(kind="real", shape=value.shape, layout="channels last"))
    return target
