"""Signs that are the same for every input: of numbers that are never negative, or behind a limit.

Where a ReLU precedes a sign, the sign is always +1, and the layer that reads it computes a
constant.
"""

from math import prod
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import GraphView, attribute
from bnnkit.artifact.operators.facts import CAST_TO, with_result

_NEVER_NEGATIVE: Final = frozenset(
    {"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"}
)
_KEEPS_SIDE: Final = with_result("same", "rearranged", "copied", "chosen") | {
    *("Add", "AveragePool", "Cast", "Clip", "Div", "GlobalAveragePool", "LeakyRelu", "Max"),
    *("Mul", "PRelu", "ReduceMean", "ReduceSum", "Resize", "Sum"),
}
_FIRST_OPERAND: Final = frozenset(
    {"Cast", "Expand", "Gather", "LeakyRelu", "PRelu", "ReduceMax", "ReduceMean", "ReduceMin"}
    | {"ReduceSum", "Reshape", "Resize", "Slice", "Split", "Squeeze", "Unsqueeze", "Flatten"}
)
"""Operators whose other operands are shapes, places or slopes."""


def never_negative(graph: GraphView, value: str) -> bool:
    """Return whether a real value is at least 0 for every input of the network."""
    pending, seen = [value], set[str]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        operands = _reasons(graph, name)
        if operands is None:
            return False
        pending += operands
    return True


def _reasons(graph: GraphView, name: str) -> list[str] | None:
    """Return values such that one is never negative if they are; None if it can be negative."""
    if graph.is_constant(name):
        return [] if _is_constant_from_0(graph, name) else None
    node = graph.producer(name)
    if node is None:
        return [] if name in graph.unsigned_inputs else None
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in _NEVER_NEGATIVE or _is_limited(graph, node):
        return []
    if node.op_type not in _KEEPS_SIDE or _can_become_negative(graph, node):
        return None
    if node.op_type == "Pad":
        mode = attribute(node, "mode", b"constant")
        values = node.input[2:3] if mode == b"constant" else ()
        return [node.input[0], *(value for value in values if value)]
    if node.op_type in _FIRST_OPERAND:
        return [node.input[0]]
    return [operand for operand in node.input if operand]


def _can_become_negative(graph: GraphView, node: onnx.NodeProto) -> bool:
    """Return whether cubic interpolation overshoots, or a cast to signed integers overflows."""
    if node.op_type == "Resize":
        return attribute(node, "mode", b"nearest") not in (b"nearest", b"linear")
    if node.op_type != "Cast":
        return False
    to = attribute(node, "to")
    if not isinstance(to, int) or to not in CAST_TO:
        return True
    target = onnx.helper.tensor_dtype_to_np_dtype(to)
    holds_input = node.input[0] in graph.unsigned_inputs and target.itemsize > 1  # uint8
    return target.kind == "i" and not holds_input


def _is_limited(graph: GraphView, node: onnx.NodeProto) -> bool:
    """Return whether a node is a Clip to limits that are never negative."""
    limits = [limit for limit in node.input[1:3] if limit] if node.op_type == "Clip" else []
    has_low = len(limits) > 0 and bool(node.input[1])
    return has_low and all(_is_constant_from_0(graph, limit) for limit in limits)


def _is_constant_from_0(graph: GraphView, name: str) -> bool:
    return graph.is_constant(name) and bool((graph.constant(name) >= 0).all())


def is_beyond_sums(graph: GraphView, node: onnx.NodeProto) -> bool:
    """Return whether the thresholds of all channels are beyond every sum.

    Args:
        graph: The network.
        node: A `Threshold` or `BinaryConv2dThreshold`.
    """
    layer = node if node.op_type == "BinaryConv2dThreshold" else graph.producer(node.input[0])
    limit = node.input[2 if node.op_type == "BinaryConv2dThreshold" else 1]
    if layer is None or not graph.is_constant(limit):
        return False
    largest = _largest_sums(graph, layer)
    if largest is None:
        return False
    thresholds = graph.constant(limit).reshape(-1).astype(np.int64)
    return bool(((thresholds <= -largest) | (thresholds > largest)).all())


def _largest_sums(graph: GraphView, layer: onnx.NodeProto) -> NDArray[np.int64] | int | None:
    """Return bounds of a layer's absolute sums, (O,) or one for all; None if they are unknown."""
    shape = attribute(layer, "weight_shape")
    if isinstance(shape, list):
        return prod(shape[1:])
    weight = layer.input[1] if len(layer.input) > 1 else ""
    is_integer = layer.domain == DOMAIN and layer.op_type in ("IntegerConv2d", "IntegerLinear")
    if not is_integer or not graph.is_constant(weight):
        return None
    numbers = graph.constant(weight).astype(np.int64)
    return np.asarray(255 * np.abs(numbers).reshape(len(numbers), -1).sum(axis=1))
