"""Shrinks constants of elementwise operators to the axes along which they vary.

1. An axis along which all elements of a constant are equal gets size 1, unless the result would
   lose that size. Torch's exporters write ones_like(x), or a bias expanded to x, at full size, for
   one batch size.
2. Leading axes of size 1 are removed if the result keeps its shape.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import BROADCASTS
from bnnkit.export.ir.graph import add_constant, array, nodes


def narrow_constants(graph: ir.Graph) -> None:
    """Run the pass; the shapes must be known."""
    for node in nodes(graph, *BROADCASTS):
        for index, value in enumerate(node.inputs):
            content = array(value)
            if value is None or content is None or content.ndim == 0:
                continue
            narrow = _without_leading(narrowed(content))
            if narrow.shape != content.shape and _still_fits(node, index, narrow):
                node.replace_input_with(index, add_constant(graph, str(value.name), narrow))


def narrowed(content: NDArray[Any]) -> NDArray[Any]:
    """Rule 1."""
    for axis, size in enumerate(content.shape):
        first = content.take([0], axis) if size else content
        if size > 1 and (content == first).all():
            content = first
    return content


def _without_leading(content: NDArray[Any]) -> NDArray[Any]:
    """Rule 2."""
    n_leading = next((i for i, size in enumerate(content.shape) if size != 1), content.ndim)
    return content.reshape(content.shape[n_leading:])


def _still_fits(node: ir.Node, index: int, narrow: NDArray[Any]) -> bool:
    """Whether the result keeps its shape with the narrow constant."""
    if node.op_type == "PRelu" and index == 0:
        return False
    shapes = [None if v is None or v.shape is None else tuple(v.shape) for v in node.inputs]
    shapes[index] = narrow.shape
    wanted = node.outputs[0].shape
    known = [s for s in shapes if s is not None and all(isinstance(n, int) for n in s)]
    if wanted is None or len(known) < len(shapes):
        return False
    return np.broadcast_shapes(*known) == tuple(wanted)  # type: ignore[arg-type]
