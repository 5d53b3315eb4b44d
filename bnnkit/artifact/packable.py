"""Finds layers of a plain ONNX file that `bnnkit convert` could pack."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments

Array = NDArray[Any]
_LARGEST_DEVIATION: Final = 2.0**-16
"""As in the conversion: the rounding of scales."""
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
    weight = _constant(node.inputs[1], graph, {}) if len(node.inputs) > 1 else None
    if weight is None or weight.ndim < 2 or weight.dtype != np.float32:
        return False
    is_turned = node.kind == "MatMul" or (
        node.kind == "Gemm" and not node.attributes.get("transB", 0)
    )
    rows = np.abs(weight.T if is_turned and weight.ndim == 2 else weight)
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] < 2 or not np.isfinite(rows).all():
        return False
    size = rows.max(axis=1, keepdims=True)
    is_of_size = (rows == 0) | (np.abs(rows - size) <= _LARGEST_DEVIATION * size)
    return bool(size.any() and is_of_size.all())


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
