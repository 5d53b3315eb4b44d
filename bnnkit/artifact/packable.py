"""Finds layers of a plain ONNX file that `bnnkit convert` could pack."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.binary_scales import scales, two_levels
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.operators.facts import MOVES_SIGNS_IN_ANY_FORM
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments

Array = NDArray[Any]
_MOST_NODES: Final = 16
"""The largest number of operators that compute a weight of constants, such as `Sign`."""


def packing_hint(artifact: Artifact, path: str) -> str | None:
    """Say how a file would be packed; None if it is packed, or there is nothing to pack."""
    n_layers = packable_layers(artifact)
    if n_layers == 0:
        return None
    layers = "a layer" if n_layers == 1 else f"{n_layers} layers"
    return (
        f"{path} has {layers} with weights of +-1, up to a scale, but computes in float: `bnnkit"
        " convert` packs it (on a computer with bnnkit[export])"
    )


def packable_layers(artifact: Artifact) -> int:
    """Count the layers with binary weights in a file without operators of bnnkit."""
    if artifact.tflite_source is not None or _is_packed(artifact):
        return 0
    graph = artifact.graph
    layers = (node for node in graph.nodes if node.kind in ("Conv", "Gemm", "MatMul"))
    return sum(_has_binary_weights(node, graph) for node in layers)


def _is_packed(artifact: Artifact) -> bool:
    return any(node.domain == DOMAIN for node in artifact.model.graph.node)


def _has_binary_weights(node: Node, graph: Graph) -> bool:
    """Whether conversion packs a layer (`export/from_onnx/mark_weights.py`, rules 1, 5 and 6)."""
    weight = _constant(node.inputs[1], graph, {}) if len(node.inputs) > 1 else None
    rank = 4 if node.kind == "Conv" else 2
    if weight is None or weight.ndim != rank or weight.dtype != np.float32:
        return False
    if node.attributes.get("transA", 0) or (node.inputs[2:] and not _has_known_bias(node, graph)):
        return False
    is_turned = node.kind == "MatMul" or (
        node.kind == "Gemm" and not node.attributes.get("transB", 0)
    )
    rows = weight.T if is_turned else weight
    found = scales(rows)
    if found is not None and found.n_zeros == 0:
        return True
    is_plain = node.attributes.get("group", 1) == 1 and node.attributes.get("alpha", 1) == 1
    can_pack = found is not None or (is_plain and two_levels(rows) is not None)
    return can_pack and _may_be_signs(node.inputs[0], graph)


def _has_known_bias(node: Node, graph: Graph) -> bool:
    return not node.inputs[2] or _constant(node.inputs[2], graph, {}) is not None


def _may_be_signs(name: str, graph: Graph) -> bool:
    """Whether a value comes from a `Sign` or a choice, also after pooling and reshaping."""
    maker = graph.makers.get(name)
    for _ in graph.nodes:  # a damaged graph can be a circle
        if maker is None or maker.kind not in ("Pad", "Mul", *MOVES_SIGNS_IN_ANY_FORM):
            break
        computed = (name for name in maker.inputs if name not in graph.constants)
        maker = graph.makers.get(next(computed, ""))
    return maker is not None and maker.kind in ("Sign", "Where")


def _constant(name: str, graph: Graph, found: dict[str, Array | None]) -> Array | None:
    """Return a constant, or one computed from constants by few operators; else None."""
    if name in graph.constants:
        return graph.constants[name]
    if name not in found:
        found[name] = None
        maker = graph.makers.get(name)
        if maker is not None and maker.kind in STANDARD_OPERATORS and len(found) <= _MOST_NODES:
            found[name] = _computed(maker, graph, found)
    return found[name]


def _computed(node: Node, graph: Graph, found: dict[str, Array | None]) -> Array | None:
    given: Mapping[str, Array | None] = {
        name: _constant(name, graph, found) for name in node.inputs if name
    }
    if not given or any(content is None for content in given.values()):
        return None
    operands = arguments([given[name] if name else None for name in node.inputs])
    try:
        with np.errstate(all="ignore"):
            return np.asarray(STANDARD_OPERATORS[node.kind](node.attributes, *operands))
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None  # the check of the network names it
