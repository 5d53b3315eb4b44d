"""The signs of an artifact: which come straight from an integer sum, and what keeps the others from it."""

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
    """One node that takes signs.

    Attributes:
        name: The value that the module gives, by the path of the module.
        is_threshold: They are an integer sum compared with a threshold; nothing real-valued is
            computed.
        reason: Where the threshold is, or what stands between a sum and the sign.
    """

    name: str
    is_threshold: bool
    reason: str


def sign_reports(graph: GraphView) -> Iterator[Sign]:
    """The signs, in the order of the graph."""
    for node in graph.nodes:
        if node.domain == _DOMAIN and node.op_type == "BinaryConv2dThreshold":
            yield Sign(_module(node.output[0]), True, f"threshold inside {node.name}")
        elif node.domain == _DOMAIN and node.op_type == "Threshold":
            yield Sign(
                _module(node.output[0]),
                True,
                f"threshold on the sum of {_name(graph, node.input[0])}",
            )
        elif node.domain == _DOMAIN and node.op_type == "Sign":
            yield Sign(_module(node.output[0]), False, _why_real(graph, node.input[0]))


def _module(signs: str) -> str:
    """The path of the module: the names of signs that are yet to be pooled or reshaped are `path/...`."""
    return signs.partition("/")[0]


def _name(graph: GraphView, value: str) -> str:
    node = graph.producer(value)
    return value if node is None else node.name


def _why_real(graph: GraphView, value: str) -> str:
    """What stands between an integer sum and a sign, nearest to the sign."""
    node = graph.producer(value)
    while node is not None and node.op_type in _ELEMENTWISE and _varying(graph, node) == 1:
        value = next(name for name in node.input if not graph.is_constant(name))
        node = graph.producer(value)
    if node is None:
        return "it is the sign of the network's real-valued input"
    if node.op_type in _ELEMENTWISE:
        return f"{node.name} joins two real values: a skip connection"
    if node.op_type in _LAYERS:
        return f"it is the sign of the real-valued layer {node.name}"
    if node.op_type == "Cast":
        return f"the sum of {_name(graph, node.input[0])} has other uses, and falls with the sign on some channels"
    if node.op_type == "MaxPool":
        return f"between the pool {node.name} and the sign a scale is negative on some channels, or has other uses"
    return f"{node.op_type} {node.name} stands before it"


def _varying(graph: GraphView, node: onnx.NodeProto) -> int:
    return sum(not graph.is_constant(name) for name in node.input if name)
