"""Constant folding of standard operators, for export and conversion.

ONNX's reference implementation computes the values. It defines the operators, and it has every
operator with which a file of another tool may compute weights and shapes;
`bnnkit.artifact.standard` has only those that networks apply to activations. The runtime folds
with the latter, because it must open files fast on a board.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_node_outputs

from bnnkit.artifact.budget import Budget
from bnnkit.artifact.format.constants import OPSET

Array = NDArray[Any]

_MOST_SIZES: Final = 64
"""The largest number of elements of a constant that can say a shape."""


def fold_node(node: onnx.NodeProto, constants: Mapping[str, Array], budget: Budget) -> list[Array]:
    """Compute the outputs of a node with constant inputs, in order.

    Args:
        node: A node of the standard domain and the operator set `OPSET`, without subgraphs.
        constants: Its inputs, by name; others are ignored.
        budget: Is charged for the outputs before they are computed.

    Raises:
        ArtifactError: The outputs are too large for the file.
        Exception: The reference implementation cannot compute it; its errors have no common class.
    """
    feeds = {name: constants[name] for name in node.input if name}
    _charge(budget, node, feeds)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(content.dtype), content.shape
        )
        for name, content in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "constants", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    with np.errstate(all="ignore"):
        results: Any = ReferenceEvaluator(model).run(None, feeds)
    return [np.asarray(result) for result in results]


def _charge(budget: Budget, node: onnx.NodeProto, feeds: Mapping[str, Array]) -> None:
    """Count the bytes of the outputs, as far as ONNX's shape inference knows their shapes."""
    types = {
        name: helper.make_tensor_type_proto(
            helper.np_dtype_to_tensor_dtype(content.dtype), content.shape
        )
        for name, content in feeds.items()
    }
    numbers = {
        name: numpy_helper.from_array(content, name)
        for name, content in feeds.items()
        if content.size <= _MOST_SIZES
    }
    schema = onnx.defs.get_schema(node.op_type, OPSET, "")
    outputs = infer_node_outputs(schema, node, types, numbers)
    for tensor in (output.tensor_type for output in outputs.values()):
        if all(axis.HasField("dim_value") for axis in tensor.shape.dim):
            sizes = (axis.dim_value for axis in tensor.shape.dim)
            budget.spend_constants(prod(sizes) * _element_bytes(tensor.elem_type))


def _element_bytes(element: int) -> int:
    return helper.tensor_dtype_to_np_dtype(element).itemsize
