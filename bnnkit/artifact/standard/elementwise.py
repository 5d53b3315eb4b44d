"""Operators that treat each element alone, and so work in any memory layout."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import CAST_TO
from bnnkit.artifact.standard.activations import ACTIVATIONS
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _clip(a: Attributes, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    # Bounds have the dtype of x: an infinity would turn large integers into rounded reals.
    ends = (-np.inf, np.inf) if x.dtype.kind == "f" else _range_of(x.dtype)
    return np.clip(x, ends[0] if low is None else low, ends[1] if high is None else high).astype(
        x.dtype, copy=False
    )


def _range_of(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    limits = np.iinfo(dtype)
    return dtype.type(limits.min), dtype.type(limits.max)


def _div(a: Attributes, x: Array, y: Array) -> Array:
    if x.dtype.kind == "f":
        return np.divide(x, y).astype(x.dtype, copy=False)
    # Integers are divided towards zero, without a detour over reals, which round large ones.
    return np.floor_divide(x - np.fmod(x, y), y)


def _mod(a: Attributes, x: Array, y: Array) -> Array:
    """Remainder with the sign of the divisor, or with that of the dividend if fmod is set."""
    if a.get("fmod", 0):
        return np.fmod(x, y)
    return np.mod(x, y)


def _pow(a: Attributes, x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu" and y.dtype.kind in "iu" and (y < 0).any():
        # NumPy refuses negative powers of integers: the exact result is a fraction, cut towards 0.
        fraction = np.power(x.astype(np.float64), y.astype(np.float64))
        return np.where(y < 0, fraction.astype(x.dtype), np.power(x, np.maximum(y, 0)))
    return np.power(x, y).astype(x.dtype, copy=False)


def _cast(a: Attributes, x: Array) -> Array:
    if a["to"] not in CAST_TO:
        name = onnx.TensorProto.DataType.Name(a["to"])
        raise UnsupportedError(f"expected Cast to a number that NumPy has, got {name}")
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(a["to"]))


def _mean(a: Attributes, x: Array, *xs: Array) -> Array:
    return np.asarray(sum(xs, start=x) / x.dtype.type(1 + len(xs)))


def _is_infinite(a: Attributes, x: Array) -> Array:
    plus, minus = a.get("detect_positive", 1), a.get("detect_negative", 1)
    return np.asarray((np.isposinf(x) & bool(plus)) | (np.isneginf(x) & bool(minus)))


def _bit_shift(a: Attributes, x: Array, y: Array) -> Array:
    return np.left_shift(x, y) if a["direction"] == b"LEFT" else np.right_shift(x, y)


def _dropout(
    a: Attributes, x: Array, ratio: Array | None = None, training: Array | None = None
) -> Array:
    if training is not None and training.any() and (ratio is None or ratio.any()):
        raise UnsupportedError(
            "expected Dropout for inference, got training_mode: export the network in eval mode"
        )
    return x


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "Add": lambda a, x, y: np.add(x, y),
    "Sub": lambda a, x, y: np.subtract(x, y),
    "Mul": lambda a, x, y: np.multiply(x, y),
    "Div": _div,
    "Mod": _mod,
    "Max": lambda a, *xs: np.maximum.reduce(np.broadcast_arrays(*xs)),
    "Min": lambda a, *xs: np.minimum.reduce(np.broadcast_arrays(*xs)),
    "Sum": lambda a, x, *xs: sum(xs, start=x),
    "Mean": _mean,
    "Neg": lambda a, x: np.negative(x),
    "Abs": lambda a, x: np.abs(x),
    "Reciprocal": lambda a, x: np.reciprocal(x),
    "Tan": lambda a, x: np.tan(x),
    "Asin": lambda a, x: np.arcsin(x),
    "Acos": lambda a, x: np.arccos(x),
    "Atan": lambda a, x: np.arctan(x),
    "Sinh": lambda a, x: np.sinh(x),
    "Cosh": lambda a, x: np.cosh(x),
    "Asinh": lambda a, x: np.arcsinh(x),
    "Acosh": lambda a, x: np.arccosh(x),
    "Atanh": lambda a, x: np.arctanh(x),
    "Ceil": lambda a, x: np.ceil(x),
    "Floor": lambda a, x: np.floor(x),
    "Round": lambda a, x: np.rint(x),  # ties to even
    "Sqrt": lambda a, x: np.sqrt(x),
    "Exp": lambda a, x: np.exp(x),
    "Log": lambda a, x: np.log(x),
    "Sin": lambda a, x: np.sin(x),
    "Cos": lambda a, x: np.cos(x),
    "Sign": lambda a, x: np.sign(x),
    "Pow": _pow,
    "Greater": lambda a, x, y: np.greater(x, y),
    "GreaterOrEqual": lambda a, x, y: np.greater_equal(x, y),
    "Less": lambda a, x, y: np.less(x, y),
    "LessOrEqual": lambda a, x, y: np.less_equal(x, y),
    "Equal": lambda a, x, y: np.equal(x, y),
    "And": lambda a, x, y: np.logical_and(x, y),
    "Or": lambda a, x, y: np.logical_or(x, y),
    "Xor": lambda a, x, y: np.logical_xor(x, y),
    "Not": lambda a, x: np.logical_not(x),
    "IsNaN": lambda a, x: np.isnan(x),
    "IsInf": _is_infinite,
    "BitwiseAnd": lambda a, x, y: np.bitwise_and(x, y),
    "BitwiseOr": lambda a, x, y: np.bitwise_or(x, y),
    "BitwiseXor": lambda a, x, y: np.bitwise_xor(x, y),
    "BitwiseNot": lambda a, x: np.bitwise_not(x),
    "BitShift": _bit_shift,
    "Where": lambda a, condition, x, y: np.where(condition, x, y),
    "Identity": lambda a, x: x,
    "Dropout": _dropout,
    "Clip": _clip,
    "Cast": _cast,
    **ACTIVATIONS,
}
"""Operators that treat each element alone, and so work in any memory layout."""
