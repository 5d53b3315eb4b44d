"""Means, sums and maxima along axes."""

import math
from typing import Final

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import layout, options
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.source import Node
from bnnkit.tflite_schema import Builtin

_CODES: Final = {
    "ReduceMean": Builtin.MEAN,
    "GlobalAveragePool": Builtin.MEAN,
    "ReduceSum": Builtin.SUM,
    "ReduceMax": Builtin.REDUCE_MAX,
    "GlobalMaxPool": Builtin.REDUCE_MAX,
}
_NHWC: Final = {1: 3, 2: 1, 3: 2}
"""Where the axes of a map of ONNX lie."""


def reduce(draft: Draft, node: Node) -> None:
    """MEAN, SUM or REDUCE_MAX, over height and width or over axes that are named."""
    x = draft.value(node)
    if x.kind != "real" or (x.map is not None and len(x.shape) != 3):
        raise UnsupportedError("expected a map of real numbers")
    axes = _axes(draft, node, 1 + len(x.shape))
    keep = node.kind.startswith("Global") or bool(node.attributes.get("keepdims", 1))
    kept = tuple(1 if axis + 1 in axes else n for axis, n in enumerate(x.shape))
    shape = kept if keep else tuple(n for i, n in enumerate(x.shape) if i + 1 not in axes)
    if x.map is None:
        stored, where = (draft.batch, *shape), axes
        result = layout.real(x, x.tensor, shape=shape)
    else:
        if not keep and axes != (2, 3):
            raise UnsupportedError("expected keepdims, or axes (2, 3)")
        channels, height, width = kept
        stored, where = (draft.batch, height, width, channels), tuple(_NHWC[a] for a in axes)
        result = layout.real(x, x.tensor, shape=shape, map=(channels, height, width))
    inputs = [x.tensor, draft.integers(*where)]
    keeps = options.reducer(keep or x.map is not None)
    tensor = draft.emit(_CODES[node.kind], inputs, stored, options=keeps)
    draft.give(node.output, layout.real(result, tensor, may_be_minus_zero=True))


def _axes(draft: Draft, node: Node, n_axes: int) -> tuple[int, ...]:
    if node.kind.startswith("Global"):
        return 2, 3
    if len(node.inputs) > 1:
        found = draft.constant_of(node, 1).tolist()
    else:
        found = node.attributes.get("axes", range(1, n_axes))
    axes = tuple(sorted(int(axis) % n_axes for axis in found))
    if not axes or axes[0] == 0 or math.prod(axes) == 0:
        raise UnsupportedError("expected axes other than the batch")
    return axes
