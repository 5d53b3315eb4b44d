"""Operators that treat each element alone, and so work in any memory layout."""

from collections.abc import Callable, Mapping
from math import erf
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _relu(a: Attributes, x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def _leaky_relu(a: Attributes, x: Array) -> Array:
    return np.where(x < 0, x * np.float32(a.get("alpha", 0.01)), x)


def _p_relu(a: Attributes, x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


def _clip(a: Attributes, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    low = a.get("min", -np.inf) if low is None else low
    high = a.get("max", np.inf) if high is None else high
    return np.clip(x, low, high).astype(x.dtype, copy=False)


def _sigmoid(a: Attributes, x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _hard_sigmoid(a: Attributes, x: Array) -> Array:
    alpha, beta = np.float32(a.get("alpha", 0.2)), np.float32(a.get("beta", 0.5))
    return np.clip(x * alpha + beta, 0, 1)


def _hard_swish(a: Attributes, x: Array) -> Array:
    return np.multiply(x, np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1))


def _elu(a: Attributes, x: Array) -> Array:
    return np.where(x < 0, np.float32(a.get("alpha", 1.0)) * np.expm1(x), x)


def _softplus(a: Attributes, x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def _erf(a: Attributes, x: Array) -> Array:
    return np.asarray(np.frompyfunc(erf, 1, 1)(x), x.dtype)


def _where(a: Attributes, condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition, x, y)


def _cast(a: Attributes, x: Array) -> Array:
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(a["to"]))


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "Add": lambda a, x, y: np.add(x, y),
    "Sub": lambda a, x, y: np.subtract(x, y),
    "Mul": lambda a, x, y: np.multiply(x, y),
    "Div": lambda a, x, y: np.divide(x, y).astype(x.dtype, copy=False),
    "Max": lambda a, *xs: np.maximum.reduce(np.broadcast_arrays(*xs)),
    "Min": lambda a, *xs: np.minimum.reduce(np.broadcast_arrays(*xs)),
    "Sum": lambda a, x, *xs: sum(xs, start=x),
    "Neg": lambda a, x: np.negative(x),
    "Abs": lambda a, x: np.abs(x),
    "Atan": lambda a, x: np.arctan(x),
    "Ceil": lambda a, x: np.ceil(x),
    "Floor": lambda a, x: np.floor(x),
    "Round": lambda a, x: np.rint(x),  # ties to even
    "Sqrt": lambda a, x: np.sqrt(x),
    "Exp": lambda a, x: np.exp(x),
    "Log": lambda a, x: np.log(x),
    "Sin": lambda a, x: np.sin(x),
    "Cos": lambda a, x: np.cos(x),
    "Sign": lambda a, x: np.sign(x),
    "Pow": lambda a, x, y: np.power(x, y).astype(x.dtype, copy=False),
    "Greater": lambda a, x, y: np.greater(x, y),
    "GreaterOrEqual": lambda a, x, y: np.greater_equal(x, y),
    "Less": lambda a, x, y: np.less(x, y),
    "LessOrEqual": lambda a, x, y: np.less_equal(x, y),
    "Equal": lambda a, x, y: np.equal(x, y),
    "And": lambda a, x, y: np.logical_and(x, y),
    "Or": lambda a, x, y: np.logical_or(x, y),
    "Xor": lambda a, x, y: np.logical_xor(x, y),
    "Not": lambda a, x: np.logical_not(x),
    "Erf": _erf,
    "Where": _where,
    "Tanh": lambda a, x: np.tanh(x),
    "Identity": lambda a, x: x,
    "Dropout": lambda a, x, *_: x,
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _p_relu,
    "Clip": _clip,
    "Sigmoid": _sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Elu": _elu,
    "Softplus": _softplus,
    "Softsign": lambda a, x: np.asarray(x / (1 + np.abs(x))),
    "Cast": _cast,
}
"""Operators that treat each element alone, and so work in any memory layout."""
