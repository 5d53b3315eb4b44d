"""Softmax, sigmoid and exponential, with the bits of `bnnkit.artifact.format.probabilities`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.runtime.kernels.softmax import as_function, exponentials, sigmoids, softmax_rows
from bnnkit.runtime.memory.values import Array

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


def softmax_operator(attributes: Mapping[str, Any], x: Array) -> Array:
    """Compute ONNX's operator `Softmax`: over the axis `axis`, which is the last by default."""
    if x.dtype != np.float32 or x.ndim == 0:
        return STANDARD_OPERATORS["Softmax"](attributes, x)
    axis = attributes.get("axis", -1)
    last = np.moveaxis(x, axis, -1)
    found = softmax(last.reshape(-1, last.shape[-1])).reshape(last.shape)
    return np.moveaxis(found, -1, axis)


def _applied(kernel: object, matrix: Float) -> Float:
    source, result = np.ascontiguousarray(matrix), np.empty(matrix.shape, np.float32)
    if result.size:
        as_function(kernel)(source.ctypes.data, result.ctypes.data, *result.shape)
    return result
