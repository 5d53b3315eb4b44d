"""Counts of a layer's multiply-accumulates for one input, including padding."""

from collections.abc import Callable
from math import prod
from typing import Protocol

import onnx

from bnnkit.artifact.format.graph_view import attribute
from bnnkit.artifact.operators.subscripts import axes_of_term, subscripts


class Shapes(Protocol):
    """The shapes of the values of a network, such as a `GraphView`."""

    def shape(self, value: str) -> tuple[int, ...]:
        """Return the shape of a value for one input."""


Macs = Callable[[Shapes, onnx.NodeProto], int]
"""Counts those of a node.

Raises:
    UnknownShapeError: The file does not tell a shape that is needed.
"""


def weight_shape(node: onnx.NodeProto) -> list[int]:
    """Return the shape of packed weights, (O, KH, KW, I/G) or (O, I)."""
    shape = attribute(node, "weight_shape", [])
    return list(shape) if isinstance(shape, list) else []


def packed_macs(graph: Shapes, node: onnx.NodeProto) -> int:
    """Count the weights of a channel for each output; `weight_shape` (O, ...)."""
    return prod(graph.shape(node.output[0])) * prod(weight_shape(node)[1:])


def layer_macs(graph: Shapes, node: onnx.NodeProto) -> int:
    """Count the weights of a channel for each output; weight (O, I/G, KH, KW) or (O, I)."""
    return prod(graph.shape(node.output[0])) * prod(graph.shape(node.input[1])[1:])


def transposed_macs(graph: Shapes, node: onnx.NodeProto) -> int:
    """Count the weights of a channel for each input; weight (I, O/G, KH, KW)."""
    return prod(graph.shape(node.input[0])) * prod(graph.shape(node.input[1])[1:])


def product_macs(graph: Shapes, node: onnx.NodeProto) -> int:
    """Count the length of the summed axis for each output."""
    axis = -2 if attribute(node, "transA", 0) else -1
    return prod(graph.shape(node.output[0])) * graph.shape(node.input[0])[axis]


def einsum_macs(graph: Shapes, node: onnx.NodeProto) -> int:
    """Multiply the sizes of all letters of an equation; 0 of one operand, which is only summed."""
    if len(node.input) < 2:
        return 0
    terms, _ = subscripts({"equation": attribute(node, "equation")}, len(node.input))
    sizes: dict[str, int] = {}
    for name, term in zip(node.input, terms, strict=True):
        shape = graph.shape(name)
        for letter, size in zip(axes_of_term(term, len(shape)), shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return prod(sizes.values())


def recurrent_macs(graph: Shapes, node: onnx.NodeProto) -> int:
    """Count both matrices of all gates and directions, for each step."""
    steps = graph.shape(node.input[0])[1 if attribute(node, "layout", 0) else 0]
    return steps * sum(prod(graph.shape(name)) for name in node.input[1:3])
