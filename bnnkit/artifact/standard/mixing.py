"""Operators that mix the elements of an array: products, sums, normalisation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.shaping import axes_of

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _dequantize(a: Attributes, x: Array, scale: Array, zero: Array | None = None) -> Array:
    shift = 0 if zero is None else zero.astype(np.int32)
    result: Array = (x.astype(np.int32) - shift).astype(np.float32) * scale
    return result


def _softmax(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", -1)
    exponential: Array = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.divide(exponential, exponential.sum(axis=axis, keepdims=True))


def _log_softmax(a: Attributes, x: Array) -> Array:
    return np.log(_softmax(a, x))


def _reduction(function: Callable[..., Array]) -> Callable[..., Array]:
    def reduce(a: Attributes, x: Array, axes: Array | None = None) -> Array:
        return function(x, axis=axes_of(a, axes), keepdims=bool(a.get("keepdims", 1)))

    return reduce


def _batch_norm(
    a: Attributes, x: Array, scale: Array, bias: Array, mean: Array, var: Array
) -> Array:
    shape = (-1,) + (1,) * (x.ndim - 2)
    alpha = scale * (np.float32(1) / np.sqrt(var + np.float32(a.get("epsilon", 1e-5))))
    beta = bias - mean * alpha
    return np.asarray(x * alpha.reshape(shape) + beta.reshape(shape))


def _layer_norm(a: Attributes, x: Array, scale: Array, bias: Array | None = None) -> Array:
    axes = tuple(range(a.get("axis", -1) % x.ndim, x.ndim))
    normal = _normalized(x, axes, a.get("epsilon", 1e-5)) * scale
    return normal if bias is None else normal + bias


def _instance_norm(a: Attributes, x: Array, scale: Array, bias: Array) -> Array:
    column = (-1,) + (1,) * (x.ndim - 2)
    normal = _normalized(x, tuple(range(2, x.ndim)), a.get("epsilon", 1e-5))
    return np.asarray(normal * scale.reshape(column) + bias.reshape(column))


def _normalized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """Normalise to mean 0 and variance 1 over some axes."""
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + np.float32(epsilon)))


def _gemm(a: Attributes, x: Array, w: Array, bias: Array | None = None) -> Array:
    left = x.T if a.get("transA") else x
    right = w.T if a.get("transB") else w
    product: Array = np.float32(a.get("alpha", 1.0)) * (left @ right)
    return product if bias is None else product + np.float32(a.get("beta", 1.0)) * bias


def _arg_max(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", 0)
    best: Array = np.asarray(np.argmax(x, axis=axis))
    return np.expand_dims(best, axis) if a.get("keepdims", 1) else best


MIXING: dict[str, Callable[..., Array]] = {
    "DequantizeLinear": _dequantize,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "ReduceMean": _reduction(np.mean),
    "ReduceSum": _reduction(np.sum),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "ReduceProd": _reduction(np.prod),
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "MatMul": lambda a, x, y: np.matmul(x, y),
    "ArgMax": _arg_max,
}
