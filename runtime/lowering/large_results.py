"""The types of large results, by ONNX's shape inference instead of a run on zeros."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError, infer_node_outputs

from bnnkit.artifact.checks.standard_operator import LIKE_THEIR_INPUT
from bnnkit.artifact.checks.values import MOST_KNOWN
from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators.facts import with_result
from bnnkit.runtime.memory.values import Array

_LARGE: Final = 1 << 16
"""Fewer numbers than this, of operands and result together, are computed faster than inferred."""
_BOUNDED: Final = with_result("same", "rearranged", "exact", "approximate")
"""Operators whose result has at most as many numbers as the product of its operands' sizes."""


def large_result(node: Node, operands: Sequence[Array | None], opset: int) -> Array | None:
    """Return zeros of the type of a node's result if computing it takes much memory; else None.

    Args:
        node: The node, of ONNX's own operators.
        operands: An example of each input; its content matters only if it is small.
        opset: The version of the standard operators.

    Returns:
        A view of one zero; None also if ONNX cannot infer the type.
    """
    names = [f"{index}" if given is not None else "" for index, given in enumerate(operands)]
    given = {name: x for name, x in zip(names, operands, strict=True) if x is not None}
    x = operands[0] if operands else None
    if node.kind in LIKE_THEIR_INPUT and x is not None:
        return zeros(x.shape, x.dtype) if x.size >= _LARGE else None
    if node.kind in _BOUNDED and prod(x.size for x in given.values()) < _LARGE:
        return None
    try:
        before = [f"before{place}" for place in range(len(node.outputs) - 1)]
        proto = helper.make_node(node.kind, names, [*before, "result"], **node.attributes)
        schema = onnx.defs.get_schema(node.kind, opset, "")
        types = {name: _type_of(x) for name, x in given.items()}
        known = {
            name: numpy_helper.from_array(np.asarray(x), name)
            for name, x in given.items()
            if x.size <= MOST_KNOWN
        }
        found = infer_node_outputs(schema, proto, types, known)["result"].tensor_type
    except (
        InferenceError, ValidationError, onnx.defs.SchemaError,
        KeyError, RuntimeError, TypeError, ValueError,
    ):  # fmt: skip
        return None
    if not found.HasField("shape") or not all(d.HasField("dim_value") for d in found.shape.dim):
        return None
    shape = tuple(axis.dim_value for axis in found.shape.dim)
    numbers = sum(x.size for x in given.values()) + prod(shape)
    if numbers < _LARGE:
        return None
    return zeros(shape, helper.tensor_dtype_to_np_dtype(found.elem_type))


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros that take the memory of one."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _type_of(x: Array) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
