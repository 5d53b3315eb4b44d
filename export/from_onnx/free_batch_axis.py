"""Makes the batch a free first axis, even if the file was exported for one batch size.

1. A `Reshape` that keeps the first axis gets -1 for it, and the known sizes for the others.
2. The shapes are then inferred for another batch size. The batch is free if every value that
   depends on the input has the new size as its first axis, and its other axes are unchanged.
"""

from typing import Final

import numpy as np
import onnx_ir as ir

from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.from_onnx.read_source import infer_shapes
from bnnkit.export.from_torch.marked_graph import BATCH
from bnnkit.export.ir.graph import add_constant, array, nodes, operand

_OTHER: Final = 1009
"""A batch size that no other axis is likely to have."""


def free_batch(model: ir.Model, batch: int) -> ir.Model:
    """The model with a free batch axis.

    Args:
        model: A model with the shapes for `batch`.
        batch: The batch size that it was exported for.

    Raises:
        UnsupportedError: An operator mixes the batch with other axes, or depends on its size.
    """
    known = {value.name: value.shape for node in model.graph for value in node.outputs}
    for node in nodes(model.graph, "Reshape"):
        _keep_first(model.graph, node, batch)
    other = infer_shapes(model, _OTHER)
    for node in other.graph:
        for value in node.outputs:
            before = known[value.name]
            if before is None or value.shape is None:
                raise UnsupportedError(
                    f"expected {named(node)} to give a shape that ONNX can infer, got none"
                )
            if tuple(before[:1]) != (batch,) or tuple(value.shape) != (_OTHER, *before[1:]):
                raise UnsupportedError(
                    f"expected {named(node)} to keep the batch as first axis, got the shape"
                    f" {value.shape} for a batch of {_OTHER} and {before} for {batch}; export the"
                    " network with a batch that nothing else depends on"
                )
            value.shape = ir.Shape([BATCH, *before[1:]])
    for value in other.graph.inputs:
        value.shape = ir.Shape([BATCH, *(value.shape or ())[1:]])
    return other


def _keep_first(graph: ir.Graph, node: ir.Node, batch: int) -> None:
    """Rule 1."""
    before, after = operand(node, 0).shape, node.outputs[0].shape
    if before is None or after is None or array(node.inputs[1]) is None:
        return
    if before[0] == after[0] == batch:
        sizes = np.array([-1, *after[1:]], np.int64)
        node.replace_input_with(1, add_constant(graph, f"{node.outputs[0].name}/shape", sizes))
        node.attributes.pop("allowzero", None)
