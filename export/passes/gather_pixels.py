"""`GatherND` of the pixels of maps becomes a `Gather` that keeps the batch as first axis.

1. `Transpose` (height and width first), `GatherND` with constant indices of all of these axes, and
   `Transpose` (batch and channels first) become `Reshape` of a map to a row of pixels, and
   `Gather`. Torch writes the former for `x[:, :, rows, columns]`, and so for an
   `AdaptiveAvgPool2d` whose windows have different sizes.
"""

from math import prod
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.export.ir.graph import (
    add_constant,
    array,
    new_node,
    nodes,
    only_consumer,
    operand,
    parameter_name,
    produced_by,
    replace,
)
from bnnkit.export.passes.clean_up import remove_dead

_KEPT: Final = 2
"""The batch and the channels."""


def gather_pixels(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in nodes(graph, "GatherND"):
        before = produced_by(node.inputs[0], "Transpose")
        after, indices = only_consumer(node.outputs[0]), array(node.inputs[1])
        if before is None or after is None or indices is None or after.op_type != "Transpose":
            continue
        x = operand(before, 0)
        sizes = () if x.shape is None else tuple(x.shape)[_KEPT:]
        n_axes, n_new = len(sizes), indices.ndim - 1
        is_of_pixels = (
            n_axes > 0
            and indices.shape[-1] == n_axes
            and node.attributes.get_int("batch_dims", 0) == 0
            and _perm(before) == (*range(_KEPT, n_axes + _KEPT), *range(_KEPT))
            and _perm(after) == (*range(n_new, n_new + _KEPT), *range(n_new))
        )
        if is_of_pixels and x.shape is not None and all(isinstance(n, int) for n in x.shape[1:]):
            _replace(graph, node, after, x, indices)
    remove_dead(graph)


def _perm(node: ir.Node) -> tuple[int, ...]:
    return tuple(node.attributes.get_ints("perm", ()))


def _replace(
    graph: ir.Graph, node: ir.Node, after: ir.Node, x: ir.Value, indices: NDArray[np.int64]
) -> None:
    assert x.shape is not None  # the caller has read it
    batch, channels, *sizes = x.shape
    pixels = tuple(int(str(size)) for size in sizes)
    places = np.ravel_multi_index(tuple(np.moveaxis(indices, -1, 0)), pixels, mode="wrap")
    shape = np.array([-1, int(str(channels)), prod(pixels)], np.int64)
    row_shape = ir.Shape([batch, channels, prod(pixels)])
    dtype = x.dtype or ir.DataType.FLOAT
    row = new_node(
        "Reshape",
        [x, add_constant(graph, parameter_name(node, "row"), shape)],
        source=node,
        dtype=dtype,
        shape=row_shape,
    )
    gathered = new_node(
        "Gather",
        [row.outputs[0], add_constant(graph, parameter_name(node, "places"), places)],
        source=node,
        dtype=dtype,
        shape=after.outputs[0].shape,
        attributes={"axis": _KEPT},
    )
    replace(graph, after, [row, gathered])
