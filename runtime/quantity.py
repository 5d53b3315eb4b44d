"""What is averaged over samples: probabilities where an output holds or defines them."""

import numpy as np

from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.errors import UsageError
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.steps.probabilities import exponential, sigmoid, softmax


def quantity(kind: OutputKind, output: Array) -> Array:
    """Compute what is averaged from an output of one pass.

    Args:
        kind: What the output holds.
        output: (N, ...); (N, K) if it holds class scores.

    Returns:
        The output itself if it holds integers. Else float32, of the same shape: the softmax of
        scores, the exponential of logarithms, the sigmoid of log-odds, or the output. The bits
        are those that docs/artifact.md defines (Probabilities).

    Raises:
        UsageError: If class scores do not have the form (N, K).
    """
    if kind == "integers":
        return output
    real = output.astype(np.float32)
    if kind == "scores":
        return softmax(_checked(real))
    if kind in ("log-probabilities", "label-log-probabilities"):
        return exponential(real)
    if kind == "log-odds":
        return sigmoid(real)
    return real


def _checked(scores: Array) -> Array:
    if scores.ndim != 2:
        raise UsageError(
            "expected scores (N, K) from which to compute class probabilities, got an output of"
            f" shape {scores.shape}"
        )
    return scores
