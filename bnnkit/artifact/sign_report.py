"""The report on the signs of an artifact: which are integer thresholds, and why others are not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import onnx

from bnnkit.artifact.constant_signs import is_beyond_sums, never_negative
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import GraphView
from bnnkit.artifact.operators.facts import BENDS, LAYERS, MONOTONE

_ELEMENTWISE: Final = MONOTONE - {"Cast"}
"""Operators that a threshold can absorb; a Cast is where an integer sum becomes a real number."""


@dataclass(frozen=True)
class SignReport:
    """The signs that one `Sign` module computes.

    Attributes:
        name: The path of the module.
        is_threshold: Whether an integer sum is compared with a threshold, so that nothing except
            the noise is real-valued.
        reason: The place of the threshold, or the operators between a sum and the sign.
        noise: The name of the noise in the file; "none" if there is none.
        is_constant: Whether the signs without noise are the same for every input, because their
            numbers are never negative, as behind a ReLU, or their thresholds beyond every sum.
    """

    name: str
    is_threshold: bool
    reason: str
    noise: str = "none"
    is_constant: bool = False


def sign_reports(graph: GraphView) -> Iterator[SignReport]:
    """Yield the signs in the order of the graph."""
    for node in graph.nodes:
        if node.domain != DOMAIN:
            continue
        # Signs before a pool or a change of shape are called `path/...`.
        path = node.output[0].partition("/")[0]
        if node.op_type == "BinaryConv2dThreshold":
            yield _threshold(graph, node, SignReport(path, True, f"threshold inside {node.name}"))
        elif node.op_type == "Threshold":
            reason = f"threshold on the sum of {_name(graph, node.input[0])}"
            yield _threshold(graph, node, SignReport(path, True, reason))
        elif node.op_type == "Sign":
            sign = SignReport(path, False, _why_real(graph, node.input[0]))
            yield _real(graph, node, sign)
        elif node.op_type == "StochasticSign":
            yield _real(graph, node, _noisy(graph, node, path))


def _threshold(graph: GraphView, node: onnx.NodeProto, sign: SignReport) -> SignReport:
    """Report whether a threshold is constant."""
    if not is_beyond_sums(graph, node):
        return sign
    reason = "the same for every input: no sum reaches its threshold, as behind a ReLU"
    return replace(sign, reason=reason, is_constant=True)


def _real(graph: GraphView, node: onnx.NodeProto, sign: SignReport) -> SignReport:
    """Report whether the sign of a real number is constant."""
    if not never_negative(graph, node.input[0]):
        return sign
    thresholds = [graph.constant(name) for name in node.input[1:2] if graph.is_constant(name)]
    if any((limit > 0).any() for limit in thresholds):
        return sign
    reason = "+1 for every input: its numbers are never negative, as behind a ReLU"
    return replace(sign, reason=reason, is_constant=True)


def _noisy(graph: GraphView, node: onnx.NodeProto, path: str) -> SignReport:
    """Report on a `StochasticSign`."""
    noise = node.input[3].removeprefix("noise.")
    layer = _layer_of_sum(graph, node.input[0])
    if layer is None:
        bends = (above.name for above in _above(graph, node.input[0]) if above.op_type in BENDS)
        bend = next(bends, None)
        reason = _why_real(graph, node.input[0]) if bend is None else f"{bend} limits it"
        return SignReport(path, False, reason, noise)
    return SignReport(path, True, f"threshold and noise on the sum of {layer}", noise)


def _layer_of_sum(graph: GraphView, value: str) -> str | None:
    """Return the layer of an integer sum, looking through max pools and changes of sign."""
    node = graph.producer(value)
    while node is not None and (node.op_type == "MaxPool" or _negates(graph, node)):
        node = graph.producer(node.input[0])
    is_sum = node is not None and node.op_type == "Cast"
    return _name(graph, node.input[0]) if node is not None and is_sum else None


def _negates(graph: GraphView, node: onnx.NodeProto) -> bool:
    """Return whether a node multiplies by -1 or +1."""
    if node.op_type != "Mul" or not graph.is_constant(node.input[1]):
        return False
    return bool((np.abs(graph.constant(node.input[1])) == 1).all())


def _name(graph: GraphView, value: str) -> str:
    node = graph.producer(value)
    return value if node is None else node.name


def _why_real(graph: GraphView, value: str) -> str:
    """Return why a sign is not an integer threshold."""
    for step in _above(graph, value):
        value = graph.varying(step)[0]
    node = graph.producer(value)
    if node is None:
        return "it is the sign of the network's real-valued input"
    if node.op_type in _ELEMENTWISE:
        return f"{node.name} joins two real values: a skip connection, or bit planes"
    if node.op_type in LAYERS:
        return f"it is the sign of the real-valued layer {node.name}"
    if node.op_type == "Cast":
        layer = _name(graph, node.input[0])
        return f"the sum of {layer} has other uses"
    if node.op_type == "MaxPool":
        return f"it falls behind {node.name} on some channels, or the pool has other uses"
    return f"{node.op_type} {node.name} stands before it"


def _above(graph: GraphView, value: str) -> Iterator[onnx.NodeProto]:
    """Yield elementwise operators on one value, from the one that computes `value` upwards."""
    node = graph.producer(value)
    while node is not None and node.op_type in _ELEMENTWISE and len(graph.varying(node)) == 1:
        yield node
        node = graph.producer(graph.varying(node)[0])
