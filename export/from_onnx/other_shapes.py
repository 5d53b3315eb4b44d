"""The shapes of values for another batch size, where the batch is not always the first axis."""

import onnx
import onnx_ir as ir

from bnnkit.export.from_onnx.batch_constants import OTHER_SIZE, BatchConstants
from bnnkit.export.ir.graph import nodes
from bnnkit.export.ir.inferred_shapes import without_large_data, without_weights


def record_other_shapes(model: ir.Model, batch: BatchConstants) -> None:
    """Infer the shapes for the other batch size, unless the batch is first wherever it counts.

    Args:
        model: A model with the shapes for the size of `batch`.
        batch: Gets the shapes.
    """
    batch.shapes.clear()
    if not batch.is_free or not _leaves_first_axis(model.graph, batch.size):
        return
    with without_weights(model.graph):
        proto = ir.to_proto(model)
    for given in proto.graph.input:
        given.type.tensor_type.shape.dim[0].dim_value = OTHER_SIZE
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    for tensor in proto.graph.initializer:
        if tensor.name in batch.others:
            tensor.CopyFrom(without_large_data(batch.others[tensor.name], tensor.name))
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError):
        return  # what depends on the batch otherwise is refused later
    for info in inferred.graph.value_info:
        axes = info.type.tensor_type.shape.dim
        if all(axis.HasField("dim_value") for axis in axes):
            batch.shapes[info.name] = tuple(axis.dim_value for axis in axes)


def _leaves_first_axis(graph: ir.Graph, size: int) -> bool:
    """Whether a shape that is asked for may have the batch at another axis."""
    asked = [node.inputs[0] for node in nodes(graph, "Shape", "Size")]
    known = [x.shape for x in asked if x is not None and x.shape is not None]
    if any(len(shape) == 0 or shape[0] != size for shape in known):
        return True
    moves = (node.attributes.get_ints("perm", (1,)) for node in nodes(graph, "Transpose"))
    return bool(known) and any(perm[0] != 0 for perm in moves)
