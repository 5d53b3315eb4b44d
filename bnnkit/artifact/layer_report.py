"""The report on the layers of an artifact: their kind and its reason, computations and sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod
from typing import Final, Literal

import onnx

from bnnkit.artifact.binary_scales import scales
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import GraphView, UnknownShapeError, attribute
from bnnkit.artifact.operators import layer_kind, operator_of
from bnnkit.artifact.operators.facts import fact_of
from bnnkit.artifact.operators.macs import Macs, weight_shape
from bnnkit.artifact.real_inputs import why_real

Kind = Literal["binary", "integer", "float"]
KINDS: Final[tuple[Kind, ...]] = ("binary", "integer", "float")

NO_FORM = "weights and input are binary, but no bnnkit operator has this form"
"""Why a layer with binary weights on signs is float."""

FLOAT_SIGNS = (
    "weights are +-1, up to a scale, but stored in float: use a layer of bnnkit.nn or binarize_ in"
    " torch, or `bnnkit convert` on a plain ONNX file"
)
"""Why a layer is float that has binary weights in operators that the exporter does not read."""


@dataclass(frozen=True)
class LayerReport:
    """One node that multiplies by weights, or two activations with each other.

    Attributes:
        name: The path of its torch module.
        operator: The ONNX operator.
        kind: "binary": binary weights and inputs; "integer": integer weights and uint8 inputs;
            "float": all others.
        reason: Why it is not binary; "" for a binary layer.
        macs: Multiply-accumulates for one input, including those on padding; None if the file
            does not state the shapes.
        stored_bytes: The size of its constants in the file; shared constants count for the first
            layer only.
        ideal_bytes: The same size with 1 bit for a binary weight.
    """

    name: str
    operator: str
    kind: Kind
    reason: str
    macs: int | None
    stored_bytes: int
    ideal_bytes: int


def layer_reports(graph: GraphView) -> tuple[list[LayerReport], set[str]]:
    """Return the layers in the order of the graph, and the constants that they include."""
    layers: list[LayerReport] = []
    counted: set[str] = set()
    for node in graph.nodes:
        count = _counter(node)
        if count is not None:
            mine = {
                name for value in node.input for name in graph.constants_behind(value)
            } - counted
            layers.append(_layer(graph, node, mine, _macs(graph, node, count)))
            counted |= mine
    return layers, counted


def _layer(
    graph: GraphView, node: onnx.NodeProto, constants: set[str], macs: int | None
) -> LayerReport:
    kind, reason = _kind_of(graph, node)
    ideal = {name: graph.constant_bytes[name] for name in constants}
    ideal |= {name: size for name, size in _packed_weights(graph, node) if name in constants}
    return LayerReport(
        name=node.name,
        operator=node.op_type,
        kind=kind,
        reason=reason,
        macs=macs,
        stored_bytes=sum(graph.constant_bytes[name] for name in constants),
        ideal_bytes=sum(ideal.values()),
    )


def _kind_of(graph: GraphView, node: onnx.NodeProto) -> tuple[Kind, str]:
    """Return the kind of a layer, and why it is not binary."""
    kind = layer_kind(node)
    if kind is None:
        return "float", _why_float(graph, node)
    if kind == "binary":
        return "binary", ""
    return "integer", "first layer: 8-bit input x 12-bit weights"


def _why_float(graph: GraphView, node: onnx.NodeProto) -> str:
    x, weight = node.input[0], node.input[1]
    on_signs = graph.is_made_by(x, "DequantizeLinear")
    if graph.is_made_by(graph.before(weight, "Transpose"), "BinaryWeight", DOMAIN):
        if on_signs:
            return NO_FORM
        if graph.is_made_by(graph.before(x, "Pad"), "DequantizeLinear"):
            return "its signs are padded with a value other than -1 and +1"
        return why_real(graph, x)
    if not graph.constants_behind(weight):
        return "it multiplies two activations"
    if list(_unpacked_weights(graph, weight)):
        return "binary weights are changed before the layer; scale its output instead"
    if _has_two_values(graph, node):
        return FLOAT_SIGNS
    return "weights are real-valued" if on_signs else "weights and input are real-valued"


def _has_two_values(graph: GraphView, node: onnx.NodeProto) -> bool:
    """Return whether the weights of a layer are constants +-s, one s for each output channel."""
    weight = node.input[1]
    if not graph.is_constant(weight) or len(graph.shape(weight)) < 2:
        return False
    values = graph.constant(weight)
    is_turned = node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not attribute(node, "transB", 0)
    )
    found = scales(values.swapaxes(-1, -2) if is_turned else values)
    return found is not None and found.n_zeros == 0


def _unpacked_weights(graph: GraphView, value: str) -> Iterator[onnx.NodeProto]:
    """Yield the `BinaryWeight` nodes from which a constant value is computed."""
    node = graph.producer(value)
    if node is not None and (node.domain, node.op_type) == (DOMAIN, "BinaryWeight"):
        yield node
    elif node is not None and graph.constants_behind(value):
        for name in node.input:
            yield from _unpacked_weights(graph, name)


def _packed_weights(graph: GraphView, node: onnx.NodeProto) -> Iterator[tuple[str, int]]:
    """Yield the packed weights of a layer, each with its size at 1 bit per weight."""
    if layer_kind(node) == "binary":
        yield node.input[1], ceil(prod(weight_shape(node)) / 8)
    elif node.domain != DOMAIN:
        for unpack in _unpacked_weights(graph, node.input[1]):
            yield unpack.input[0], ceil(prod(weight_shape(unpack)) / 8)


def _macs(graph: GraphView, node: onnx.NodeProto, count: Macs) -> int | None:
    """Count multiply-accumulates for one input; None if a shape is missing."""
    try:
        return count(graph, node)
    except UnknownShapeError:
        return None


def _counter(node: onnx.NodeProto) -> Macs | None:
    """Return the function that counts a node's multiply-accumulates; None if it is not a layer."""
    about = operator_of(node) or fact_of(node)
    # An Einsum of one operand only moves and sums.
    return None if about is None or len(node.input) < 2 else about.macs
