"""States the shapes that torch's exporter leaves out, behind sizes that a graph computes."""

from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from bnnkit.artifact.budget import no_limits
from bnnkit.artifact.fold_node import fold_node
from bnnkit.export.ir.graph import array, operand
from bnnkit.export.ir.inferred_shapes import without_weights
from bnnkit.export.passes.batch_place import sizes_of

_IMAGES: Final = 1009
"""A number of images that divides no other size: a multiple of it contains the batch."""
_MOST_SIZES: Final = 64
"""The longest list of sizes that is computed."""


def complete_shapes(model: ir.Model, batch: str) -> None:
    """Infer the shapes of values that have none; a size that cannot be inferred stays open.

    Args:
        model: Its batch axis is named; its shapes are completed in place.
        batch: That name.
    """
    before = -1
    while (count := len(_unknown(model.graph))) and count != before:
        _infer(model, batch)
        before = count


def _unknown(graph: ir.Graph) -> dict[str, ir.Value]:
    """The values with a size that is not known, by name."""
    values = (value for node in graph for value in node.outputs)
    return {str(value.name): value for value in values if sizes_of(value, _IMAGES) is None}


def _infer(model: ir.Model, batch: str) -> None:
    unknown = _unknown(model.graph)
    with without_weights(model.graph):
        proto = ir.to_proto(model)
    _replace(proto.graph, _computed_sizes(model.graph))
    for info in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        _set_batch(info)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError):
        return  # they stay open
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        sizes = [axis.dim_value for axis in info.type.tensor_type.shape.dim]
        if info.name in unknown and sizes and min(sizes) > 0:
            unknown[info.name].shape = ir.Shape([_named(size, batch) for size in sizes])


def _computed_sizes(graph: ir.Graph) -> dict[str, NDArray[Any]]:
    """The short lists of numbers that depend on shapes alone, for `_IMAGES` images, by name."""
    found: dict[str, NDArray[Any]] = {}
    for node in graph:
        if node.domain == "" and len(node.outputs) == 1 and node.inputs:
            numbers = _shape(node) if node.op_type == "Shape" else _folded(node, found)
            if numbers is not None:
                found[str(node.outputs[0].name)] = numbers
    return found


def _shape(node: ir.Node) -> NDArray[np.int64] | None:
    sizes = sizes_of(operand(node, 0), _IMAGES)
    end = node.attributes.get("end")
    part = slice(node.attributes.get_int("start", 0), None if end is None else end.as_int())
    return None if sizes is None else np.array(sizes[part], np.int64)


def _folded(node: ir.Node, found: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """The result of an operator of such lists; None for others."""
    given = {str(x.name): _known(x, found) for x in node.inputs if x is not None}
    numbers = {
        name: content
        for name, content in given.items()
        if content is not None and content.size <= _MOST_SIZES
    }
    if len(numbers) < len(given) or not any(name in found for name in numbers):
        return None
    try:
        (result,) = fold_node(ir.to_proto(node), numbers, no_limits())
    except Exception:  # the reference's errors have no common class
        return None
    return result if result.size <= _MOST_SIZES else None


def _known(x: ir.Value, found: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    return found.get(str(x.name), array(x))


def _replace(graph: onnx.GraphProto, numbers: dict[str, NDArray[Any]]) -> None:
    """Let constants take the place of the nodes that compute these numbers."""
    kept = [node for node in graph.node if node.output[0] not in numbers]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(
        numpy_helper.from_array(content, name) for name, content in numbers.items()
    )


def _set_batch(info: onnx.ValueInfoProto) -> None:
    """Replace sizes that contain the batch by those for `_IMAGES`."""
    for axis in info.type.tensor_type.shape.dim:
        value = ir.Value(name="axis", shape=ir.Shape([axis.dim_param or axis.dim_value]))
        sizes = sizes_of(value, _IMAGES)
        if axis.dim_param and sizes is not None:
            axis.dim_value = sizes[0]


def _named(size: int, batch: str) -> int | str:
    if size % _IMAGES:
        return size
    return batch if size == _IMAGES else f"{size // _IMAGES}*{batch}"
