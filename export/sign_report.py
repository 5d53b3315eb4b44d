"""The signs of an artifact: which are thresholds of integer sums, and why others are not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import onnx

from bnnkit.export.graph_view import GraphView

_DOMAIN: Final = "bnnkit"
_LAYERS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ELEMENTWISE: Final = ("Add", "Sub", "Mul", "Div", "Neg", "Relu", "Clip", "Identity")


@dataclass(frozen=True)
class Sign:
    """The signs that one module takes.

    Attributes:
        name: The path of the module.
        is_threshold: They are an integer sum compared with a threshold: nothing real-valued.
        reason: Where the threshold is, or what stands between a sum and the sign.
    """

    name: str
    is_threshold: bool
    reason: str


def sign_reports(graph: GraphView) -> Iterator[Sign]:
    """The signs, in the order of the graph."""
    for node in graph.nodes:
        if node.domain != _DOMAIN:
            continue
        # Signs that are yet to be pooled or reshaped are called `path/...`.
        path = node.output[0].partition("/")[0]
        if node.op_type == "BinaryConv2dThreshold":
            yield Sign(path, True, f"threshold inside {node.name}")
        elif node.op_type == "Threshold":
            yield Sign(path, True, f"threshold on the sum of {_name(graph, node.input[0])}")
        elif node.op_type == "Sign":
            yield Sign(path, False, _why_real(graph, node.input[0]))


def _name(graph: GraphView, value: str) -> str:
    node = graph.producer(value)
    return value if node is None else node.name


def _why_real(graph: GraphView, value: str) -> str:
    """What stands between an integer sum and a sign, nearest to the sign."""
    node = graph.producer(value)
    while node is not None and node.op_type in _ELEMENTWISE and _n_varying(graph, node) == 1:
        value = next(name for name in node.input if not graph.is_constant(name))
        node = graph.producer(value)
    if node is None:
        return "it is the sign of the network's real-valued input"
    if node.op_type in _ELEMENTWISE:
        return f"{node.name} joins two real values: a skip connection"
    if node.op_type in _LAYERS:
        return f"it is the sign of the real-valued layer {node.name}"
    if node.op_type == "Cast":
        layer = _name(graph, node.input[0])
        return f"the sum of {layer} has other uses"
    if node.op_type == "MaxPool":
        return f"it falls behind {node.name} on some channels, or the pool has other uses"
    return f"{node.op_type} {node.name} stands before it"


def _n_varying(graph: GraphView, node: onnx.NodeProto) -> int:
    return sum(not graph.is_constant(name) for name in node.input if name)
