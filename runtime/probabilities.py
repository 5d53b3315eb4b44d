"""Softmax, sigmoid and exponential, with the bits of `bnnkit.artifact.probabilities`."""

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.kernels.softmax import as_function, exponentials, sigmoids, softmax_rows

Float = NDArray[np.float32]


def softmax(scores: Float) -> Float:
    """Compute the softmax of each row of float32 (N, K)."""
    return _applied(softmax_rows, scores)


def exponential(x: Float) -> Float:
    """Compute exp(x) of float32 numbers of any shape."""
    return _applied(exponentials, x.reshape(1, -1)).reshape(x.shape)


def sigmoid(log_odds: Float) -> Float:
    """Compute 1 / (1 + exp(-x)) of float32 numbers of any shape."""
    return _applied(sigmoids, log_odds.reshape(1, -1)).reshape(log_odds.shape)


def _applied(kernel: object, matrix: Float) -> Float:
    source, result = np.ascontiguousarray(matrix), np.empty(matrix.shape, np.float32)
    if result.size:
        as_function(kernel)(source.ctypes.data, result.ctypes.data, *result.shape)
    return result
