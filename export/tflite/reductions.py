"""Lowers means, sums, products and extremes along axes."""

import math
from dataclasses import replace
from typing import Final

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.options import ArgMaxOptions, ReducerOptions
from bnnkit.tflite.schema import Builtin, TensorType

_CODES: Final = {
    "ReduceMean": Builtin.MEAN,
    "GlobalAveragePool": Builtin.MEAN,
    "ReduceSum": Builtin.SUM,
    "ReduceMax": Builtin.REDUCE_MAX,
    "ReduceMin": Builtin.REDUCE_MIN,
    "ReduceProd": Builtin.REDUCE_PROD,
    "GlobalMaxPool": Builtin.REDUCE_MAX,
}


def reduce(builder: TfliteBuilder, node: Node) -> None:
    """Lower to MEAN, SUM, REDUCE_MAX and the like, over height and width or over given axes."""
    x = builder.value(node)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    where = layout.stored_axes(x)
    if where is None:
        x, where = layout.in_onnx_layout(builder, x), {1: 1}
    axes = _axes(builder, node, 1 + len(x.shape))
    stored = [*builder.shape(x.tensor)]
    for axis in axes:
        stored[where[axis]] = 1
    inputs = [x.tensor, builder.integers(*(where[axis] for axis in axes))]
    tensor = builder.emit(
        _CODES[node.kind], inputs, stored, options=ReducerOptions(keep_dims=True)
    )
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape, start=1))
    pixels = None if x.map is None else (stored[3], stored[1], stored[2])
    result = layout.real(x, tensor, shape=shape, map=pixels, may_be_minus_zero=True)
    if not (node.kind.startswith("Global") or node.attributes.get("keepdims", 1)):
        left = [n for axis, n in enumerate(x.shape, start=1) if axis not in axes]
        result = layout.reshaped(builder, result, left)
    builder.give(node.output, result)


def arg_max(builder: TfliteBuilder, node: Node) -> None:
    """Lower ArgMax and ArgMin to ARG_MAX and ARG_MIN: the first of equal elements."""
    x = builder.value(node)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    if node.attributes.get("select_last_index", 0):
        raise UnsupportedError("expected the first of equal elements, got select_last_index")
    tensor, axis = layout.as_onnx(builder, x), node.attributes.get("axis", 0) % (1 + len(x.shape))
    if axis == 0:
        raise UnsupportedError("expected other axes than the batch, got axis 0")
    left = [n for i, n in enumerate(x.shape, start=1) if i != axis]
    code = Builtin.ARG_MAX if node.kind == "ArgMax" else Builtin.ARG_MIN
    inputs = [tensor, builder.integers(axis)]
    options = ArgMaxOptions(output_type=TensorType.INT64)
    places = builder.emit(
        code, inputs, (builder.batch, *left), kind=TensorType.INT64, options=options
    )
    value = replace(x, kind="index", map=None, may_be_minus_zero=False)
    found = layout.of_elements(builder, value, places, left)
    if node.attributes.get("keepdims", 1):
        left.insert(axis - 1, 1)
        found = layout.reshaped(builder, found, left)
    builder.give(node.output, found)


def _axes(builder: TfliteBuilder, node: Node, n_axes: int) -> tuple[int, ...]:
    if node.kind.startswith("Global"):
        return 2, 3
    if any(node.inputs[1:]):
        found = builder.constant_of(node, 1).tolist()
    else:
        found = node.attributes.get("axes", ())
    axes = tuple(sorted(int(axis) % n_axes for axis in found))
    if not axes or axes[0] == 0 or math.prod(axes) == 0:
        raise UnsupportedError(
            f"expected axes other than the batch, got {axes}; no axes stand for all"
        )
    return axes
