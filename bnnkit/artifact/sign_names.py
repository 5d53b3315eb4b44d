"""Which values of an artifact are signs."""

import onnx

from bnnkit.artifact.operators import gives_signs
from bnnkit.artifact.operators.facts import moves_signs


def sign_names(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the values that are signs, in the order of the graph.

    The output of a standard operator that moves signs, such as MaxPool, is signs too.
    """
    signs: dict[str, None] = {}  # a set in the order of insertion
    for node in model.graph.node:
        if gives_signs(node) or (moves_signs(node) and node.input[0] in signs):
            signs[node.output[0]] = None
    return tuple(signs)
