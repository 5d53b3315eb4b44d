"""What is averaged over samples: probabilities where an output holds or defines them."""

import numpy as np

from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.errors import UsageError
from bnnkit.runtime.memory.values import Array


def quantity(kind: OutputKind, output: Array) -> Array:
    """Compute what is averaged from an output of one pass.

    Args:
        kind: What the output holds.
        output: (N, ...); (N, K) if it holds class scores.

    Returns:
        The output itself if it holds integers. Else float32, of the same shape: the softmax of
        scores, the exponential of logarithms, the sigmoid of log-odds, or the output.

    Raises:
        UsageError: If class scores do not have the form (N, K).
    """
    if kind == "integers":
        return output
    real = output.astype(np.float32)
    if kind == "scores":
        return _softmax(real)
    if kind in ("log-probabilities", "label-log-probabilities"):
        return np.asarray(np.exp(real))
    if kind == "log-odds":
        return _sigmoid(real)
    return real


def _softmax(scores: Array) -> Array:
    if scores.ndim != 2:
        raise UsageError(
            "expected scores (N, K) from which to compute class probabilities, got an output of"
            f" shape {scores.shape}"
        )
    exponential: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=-1, keepdims=True))


def _sigmoid(log_odds: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(log_odds))
    return np.asarray(np.where(log_odds >= 0, 1, small) / (1 + small))
