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
            sums = _sums(graph, node)
            if sums:
                inner.update(sums)
                counts[len(sums) + 1] += 1
    return dict(sorted(counts.items()))


def _sums(graph: GraphView, last: onnx.NodeProto) -> list[str]:
    """Return the sums from a node on if all that is added is of one weight; none otherwise."""
    sums: list[str] = []
    weight, value = "", last.output[0]
    while (add := graph.producer(value)) is not None and add.op_type == "Add":
        sums.append(value)
        value, part = add.input
        found = _weight(graph, part)
        # Files may hold long chains of other additions, which are not followed from each node.
        if not found or found != (weight or found):
            return []
        weight = found
    return sums if _weight(graph, value) == weight else []


def _weight(graph: GraphView, value: str) -> str:
    """Return the weight of the layer behind `Mul(Cast(sum), factor)`; "" if there is none."""
    node = graph.producer(value)
    if node is not None and node.op_type == "Mul" and graph.is_constant(node.input[1]):
        node = graph.producer(node.input[0])
    layer = graph.producer(node.input[0]) if node is not None and node.op_type == "Cast" else None
    is_layer = layer is not None and layer.domain == DOMAIN and layer.op_type in _LAYERS
    return layer.input[1] if layer is not None and is_layer else ""
