"""A node of ONNX's own whose operands are all constant becomes constants, where files are written.

ONNX's reference implementation computes them. It is the definition, and it has every operator that
a file from elsewhere may compute its weights and shapes with; `bnnkit.artifact.standard` has only
those that a network applies to activations. The runtime, which must open a file fast on a board,
folds with those and without the reference.
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
    """The outputs of a node, in their order.

    Args:
        node: Of the standard domain, without subgraphs; of the operator set `OPSET`.
        constants: Its inputs, by name; others do not matter.

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
