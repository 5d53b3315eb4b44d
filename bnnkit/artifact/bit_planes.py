"""Layers over the bit planes of activations with few bits, in the report on an artifact."""

from collections import Counter
from typing import Final

import onnx

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import GraphView

_LAYERS: Final = ("BinaryConv2d", "BinaryLinear")


def bit_planes(graph: GraphView) -> dict[int, int]:
    """Count the sums of layers that share their weights, by the number of layers.

    docs/artifact.md, Activations with few bits.
    """
    counts: Counter[int] = Counter()
    inner: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op_type == "Add" and node.output[0] not in inner:
            weights, sums = _summed(graph, node)
            if len(weights) > 1 and len(set(weights)) == 1:
                inner.update(sums)
                counts[len(weights)] += 1
    return dict(sorted(counts.items()))


def _summed(graph: GraphView, last: onnx.NodeProto) -> tuple[list[str], list[str]]:
    """Return the weights of the layers whose sums a node adds, and the names of the sums."""
    weights, sums = [], []
    value = last.output[0]
    while (add := graph.producer(value)) is not None and add.op_type == "Add":
        sums.append(value)
        value, part = add.input
        weights.append(_weight(graph, part))
    weights.append(_weight(graph, value))
    return ([] if "" in weights else weights), sums


def _weight(graph: GraphView, value: str) -> str:
    """Return the weight of the layer behind `Mul(Cast(sum), factor)`; "" if there is none."""
    node = graph.producer(value)
    if node is not None and node.op_type == "Mul" and graph.is_constant(node.input[1]):
        node = graph.producer(node.input[0])
    layer = graph.producer(node.input[0]) if node is not None and node.op_type == "Cast" else None
    is_layer = layer is not None and layer.domain == DOMAIN and layer.op_type in _LAYERS
    return layer.input[1] if layer is not None and is_layer else ""
