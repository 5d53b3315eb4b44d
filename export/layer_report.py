"""The layers of an artifact: what kind they are and why, how much they compute, how much they weigh."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, prod
from typing import Final, Literal

import onnx

from bnnkit.export.graph_view import GraphView, attribute

Kind = Literal["binary", "integer", "float"]
KINDS: Final[tuple[Kind, ...]] = ("binary", "integer", "float")

_DOMAIN: Final = "bnnkit"


@dataclass(frozen=True)
class Layer:
    """One node that multiplies by weights, or two activations with each other.

    Attributes:
        name: The path of its torch module.
        operator: The ONNX operator.
        kind: "binary": binary weights and inputs; "integer": integer weights and uint8 inputs;
            else "float".
        reason: Why it is not binary, in words; "" for a binary layer.
        macs: Multiply-accumulates for one input, those on padding included.
        stored_bytes: Its constants in the file. What layers share counts for the first of them.
        ideal_bytes: The same, with 1 bit for a binary weight.
    """

    name: str
    operator: str
    kind: Kind
    reason: str
    macs: int
    stored_bytes: int
    ideal_bytes: int


def layer_reports(graph: GraphView) -> tuple[list[Layer], set[str]]:
    """The layers, in the order of the graph, and the names of the constants that are counted in them.

    Raises:
        ArtifactError: The file lacks the shape of a value.
    """
    layers: list[Layer] = []
    counted: set[str] = set()
    for node in graph.nodes:
        count_macs = _MACS.get((node.domain, node.op_type))
        if count_macs is not None:
            constants = {
                name for value in node.input for name in graph.constants_behind(value)
            } - counted
            counted |= constants
            kind, reason = _judged(graph, node)
            stored = sum(graph.constant_bytes[name] for name in constants)
            excess = sum(
                graph.constant_bytes[name] - ideal
                for name, ideal in _packed(graph, node)
                if name in constants
            )
            layers.append(
                Layer(
                    node.name,
                    node.op_type,
                    kind,
                    reason,
                    count_macs(graph, node),
                    stored,
                    stored - excess,
                )
            )
    return layers, counted


def _judged(graph: GraphView, node: onnx.NodeProto) -> tuple[Kind, str]:
    """The kind of a layer, and why it is not binary."""
    if node.domain != _DOMAIN:
        return "float", _why_float(graph, node)
    if node.op_type.startswith("Binary"):
        return "binary", ""
    return "integer", "first layer: 8-bit input x 12-bit weights"


def _why_float(graph: GraphView, node: onnx.NodeProto) -> str:
    x, weight = node.input[0], node.input[1]
    on_signs = graph.is_made_by(x, "DequantizeLinear")
    if graph.is_made_by(graph.before(weight, "Transpose"), "BinaryWeight", _DOMAIN):
        if on_signs:
            return "weights and input are binary, but no bnnkit operator has this form"
        if graph.is_made_by(graph.before(x, "Pad"), "DequantizeLinear"):
            return "its signs are padded with a value other than -1 and +1"
        return "input is real-valued: no Sign stands before it"
    if not graph.constants_behind(weight):
        return "it multiplies two activations"
    if any(True for _ in _binary_weights_behind(graph, weight)):
        return "binary weights are changed before the layer; scale its output instead"
    return "weights are real-valued" if on_signs else "weights and input are real-valued"


def _binary_weights_behind(graph: GraphView, value: str) -> Iterator[onnx.NodeProto]:
    """The `BinaryWeight` nodes that a value is made of."""
    node = graph.producer(value)
    if node is not None and (node.domain, node.op_type) == (_DOMAIN, "BinaryWeight"):
        yield node
    elif node is not None:
        for name in node.input:
            yield from _binary_weights_behind(graph, name)


def _packed(graph: GraphView, node: onnx.NodeProto) -> Iterator[tuple[str, int]]:
    """The packed weights of a layer, each with its size at 1 bit a weight."""
    holders = (
        [node] if node.domain == _DOMAIN else list(_binary_weights_behind(graph, node.input[1]))
    )
    for holder in holders:
        shape = attribute(holder, "weight_shape")
        if isinstance(shape, list):
            yield (
                holder.input[-1 if holder.op_type == "BinaryWeight" else 1],
                ceil(prod(shape) / 8),
            )


def _by_weight(graph: GraphView, node: onnx.NodeProto) -> int:
    """A convolution: weights of an output channel for each output. Weight (O, I/G, KH, KW)."""
    return prod(graph.shape(node.output[0])) * prod(graph.shape(node.input[1])[1:])


def _by_packed_weight(graph: GraphView, node: onnx.NodeProto) -> int:
    """The same for a packed weight, `weight_shape` (O, ...)."""
    shape = attribute(node, "weight_shape")
    assert isinstance(shape, list)
    return prod(graph.shape(node.output[0])) * prod(shape[1:])


def _transposed(graph: GraphView, node: onnx.NodeProto) -> int:
    """A transposed convolution: weights of an input channel for each input. Weight (I, O/G, KH, KW)."""
    return prod(graph.shape(node.input[0])) * prod(graph.shape(node.input[1])[1:])


def _product(graph: GraphView, node: onnx.NodeProto) -> int:
    """A matrix product: the summed axis for each output."""
    axis = -2 if attribute(node, "transA", 0) else -1
    return prod(graph.shape(node.output[0])) * graph.shape(node.input[0])[axis]


_MACS: Final[dict[tuple[str, str], Callable[[GraphView, onnx.NodeProto], int]]] = {
    (_DOMAIN, "BinaryConv2d"): _by_packed_weight,
    (_DOMAIN, "BinaryConv2dThreshold"): _by_packed_weight,
    (_DOMAIN, "BinaryLinear"): _by_packed_weight,
    (_DOMAIN, "IntegerConv2d"): _by_weight,
    (_DOMAIN, "IntegerLinear"): _by_weight,
    ("", "Conv"): _by_weight,
    ("", "ConvTranspose"): _transposed,
    ("", "Gemm"): _product,
    ("", "MatMul"): _product,
}
"""Multiply-accumulates for one input, by domain and operator."""
