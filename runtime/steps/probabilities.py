"""Softmax, sigmoid and exponential, with the bits of `bnnkit.artifact.format.probabilities`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.runtime.kernels.records import MoveRecord
from bnnkit.runtime.kernels.softmax import (
    as_function,
    exponentials,
    sigmoids,
    softmax_pixels,
    softmax_rows,
)
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.steps.real import NumpyOperator
from bnnkit.runtime.steps.step import KernelCall, kernel_call

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


@dataclass(frozen=True, kw_only=True)
class SoftmaxOfChannels(NumpyOperator):
    """The softmax over the channels of a float32 map or vector, by a kernel."""

    def bind(self, memory: Memory) -> KernelCall:
        (source,) = self.sources
        assert isinstance(source, str)  # a constant is folded
        record = MoveRecord(memory.map(source), memory.map(self.target))
        return kernel_call(softmax_pixels, memory, record)


def _applied(kernel: object, matrix: Float) -> Float:
    source, result = np.ascontiguousarray(matrix), np.empty(matrix.shape, np.float32)
    if result.size:
        as_function(kernel)(source.ctypes.data, result.ctypes.data, *result.shape)
    return result
