"""Class probabilities from the output of a network."""

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS
from bnnkit.errors import UsageError
from bnnkit.runtime.memory.values import Array


def probabilities(graph: Graph, scores: Array) -> NDArray[np.float32]:
    """Compute the softmax of a network's first output, unless it holds probabilities already.

    Args:
        graph: The network; its last operator decides whether a softmax is needed.
        scores: (N, K), the first output.

    Returns:
        float32 (N, K); rows sum to 1.

    Raises:
        UsageError: If the output does not have the form (N, K).
    """
    last = _last_operator(graph, graph.outputs[0])
    if scores.ndim != 2:
        raise UsageError(
            "expected scores (N, K) from which to compute class probabilities, got an output of"
            f" shape {scores.shape}"
        )
    real = scores.astype(np.float32)
    if last == "Softmax":
        return real
    if last == "LogSoftmax":
        return np.asarray(np.exp(real))
    exponential: NDArray[np.float32] = np.exp(real - real.max(axis=-1, keepdims=True))
    return np.divide(exponential, exponential.sum(axis=-1, keepdims=True))


def _last_operator(graph: Graph, name: str) -> str:
    """What computes a value, seen through operators that keep its numbers."""
    made_by = graph.makers
    while name in made_by and made_by[name].kind in KEEPS_ELEMENTS:
        name = made_by[name].inputs[0]
    return made_by[name].kind if name in made_by else ""
