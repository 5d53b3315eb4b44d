"""Why a layer with binary weights has a real-valued input: what stands before it."""

from typing import Final

import onnx

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import GraphView
from bnnkit.artifact.operators.facts import LAYERS, MOVES_SIGNS

_MOST_NAMES: Final = 3


def why_real(graph: GraphView, value: str) -> str:
    """Return what makes the input of a layer real-valued.

    Args:
        graph: The graph.
        value: The layer's input.

    Returns:
        The operators that change the signs before the layer; where there are no signs, or several
        values are joined, the last operator before the layer.
    """
    node, changes = graph.producer(value), list[str]()
    while node is not None and not _is_layer(node):
        if node.op_type == "DequantizeLinear":
            return f"input is real-valued: {_behind(node.input[0], changes[::-1])}"
        if node.op_type not in MOVES_SIGNS:
            changes.append(node.name)
        varying = graph.varying(node)
        if len(varying) != 1:
            break
        node = graph.producer(varying[0])
    # The operators behind the network's input prepare its numbers, and are no cause.
    source = "" if node is None else f" (it comes from {[*changes, node.name][0]})"
    return f"input is real-valued: no Sign stands before it{source}"


def _is_layer(node: onnx.NodeProto) -> bool:
    return node.domain == DOMAIN or node.op_type in LAYERS


def _behind(signs: str, between: list[str]) -> str:
    """Name the operators between signs and a layer."""
    names = ", ".join(between[:_MOST_NAMES]) + ", ..." * (len(between) > _MOST_NAMES)
    verb = "stands" if len(between) == 1 else "stand"
    # Signs before a pool or a change of shape are called `path/...`.
    return f"{names} {verb} between the signs of {signs.partition('/')[0]} and this layer"
