"""Constant folding of standard operators, for export and conversion.

ONNX's reference implementation computes the values. It defines the operators, and it has every
operator with which a file of another tool may compute weights and shapes;
`bnnkit.artifact.standard` has only those that networks apply to activations. The runtime folds
with the latter, because it must open files fast on a board.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from bnnkit.artifact.format.constants import OPSET

Array = NDArray[Any]


def fold_node(node: onnx.NodeProto, constants: Mapping[str, Array]) -> list[Array]:
    """Compute the outputs of a node with constant inputs, in order.

    Args:
        node: A node of the standard domain and the operator set `OPSET`, without subgraphs.
        constants: Its inputs, by name; others are ignored.

    Raises:
        Exception: The reference implementation cannot compute it; its errors have no common class.
    """
    feeds = {name: constants[name] for name in node.input if name}
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
