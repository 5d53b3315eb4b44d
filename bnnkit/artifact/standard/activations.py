"""Activation functions: each treats every element alone."""

from collections.abc import Callable, Mapping
from math import erf, erfc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _number(a: Attributes, name: str, default: float, x: Array) -> Any:
    """Return an attribute, a float32, in the dtype of x, so that the result has it too."""
    return x.dtype.type(np.float32(a.get(name, default)))


def _relu(a: Attributes, x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def _leaky_relu(a: Attributes, x: Array) -> Array:
    return np.where(x < 0, x * _number(a, "alpha", 0.01, x), x)


def _p_relu(a: Attributes, x: Array, slope: Array) -> Array:
    return np.where(x < 0, x * slope, x)


def _thresholded_relu(a: Attributes, x: Array) -> Array:
    # A NaN is not above the limit, so the result is 0, as ONNX's definition says.
    return np.where(x > _number(a, "alpha", 1.0, x), x, x.dtype.type(0))


def _sigmoid(a: Attributes, x: Array) -> Array:
    result = np.asarray(1 / (1 + np.exp(-x)))
    # Where exp(-x) overflows, the result is exp(x) to the last bit, not 0.
    overflows = x < -np.log(np.finfo(x.dtype).max)
    return np.where(overflows, np.exp(x), result) if overflows.any() else result


def _hard_sigmoid(a: Attributes, x: Array) -> Array:
    alpha, beta = _number(a, "alpha", 0.2, x), _number(a, "beta", 0.5, x)
    return np.asarray(np.clip(x * alpha + beta, x.dtype.type(0), x.dtype.type(1)))


def _hard_swish(a: Attributes, x: Array) -> Array:
    number = x.dtype.type
    return np.multiply(x, np.clip(x * number(1 / 6) + number(0.5), number(0), number(1)))


def _elu(a: Attributes, x: Array) -> Array:
    return np.where(x < 0, _number(a, "alpha", 1.0, x) * np.expm1(x), x)


def _selu(a: Attributes, x: Array) -> Array:
    alpha = _number(a, "alpha", 1.67326319217681884765625, x)
    gamma = _number(a, "gamma", 1.05070102214813232421875, x)
    return np.asarray(gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _celu(a: Attributes, x: Array) -> Array:
    alpha = _number(a, "alpha", 1.0, x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _softplus(a: Attributes, x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def _mish(a: Attributes, x: Array) -> Array:
    wide = x.astype(np.float64)  # the softplus of -100 has few bits in float32
    return np.asarray(wide * np.tanh(_softplus(a, wide)), x.dtype)


def _gelu(a: Attributes, x: Array) -> Array:
    """Multiply x by the normal distribution function, in float64, without cancellation."""
    wide = x.astype(np.float64)
    form = a.get("approximate", b"none")
    if form == b"none":
        part = 0.5 * _each(erfc, wide / -np.sqrt(2))
    elif form == b"tanh":  # (1 + tanh(u)) / 2 is the sigmoid of 2u
        part = _sigmoid({}, 2 * np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3))
    else:
        raise UnsupportedError(
            f"expected the attribute approximate of Gelu to be none or tanh, got {form.decode()}"
        )
    return np.asarray(wide * part, x.dtype)


def _erf(a: Attributes, x: Array) -> Array:
    return np.asarray(_each(erf, x), x.dtype)


def _each(function: Callable[[float], float], x: Array) -> Array:
    return np.asarray(np.frompyfunc(function, 1, 1)(x), np.float64)


ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _p_relu,
    "ThresholdedRelu": _thresholded_relu,
    "Sigmoid": _sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "Softplus": _softplus,
    "Softsign": lambda a, x: np.asarray(x / (1 + np.abs(x))),
    "Tanh": lambda a, x: np.tanh(x),
    "Mish": _mish,
    "Gelu": _gelu,
    "Erf": _erf,
}
"""The functions by operator type."""
