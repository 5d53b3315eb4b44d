"""Normalisations and softmax: an element's result depends on others along some axes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.probabilities import softmax
from bnnkit.artifact.standard.layer_norm import layer_norm
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]

_LARGEST: Final = 1e18
"""From here on, a mean of squares may overflow in float32."""
_SMALLEST: Final = 1e-20
"""Below this, squares that vanish in float32 may matter beside epsilon."""


def _softmax(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", -1)
    if x.dtype == np.float32:
        return np.moveaxis(softmax(np.moveaxis(x, axis, -1)), -1, axis)
    exponential: Array = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.divide(exponential, exponential.sum(axis=axis, keepdims=True))


def _log_softmax(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", -1)
    # The logarithm of a softmax would be -inf where scores differ by 104.
    shifted: Array = x - x.max(axis=axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return shifted


def _batch_norm(
    a: Attributes, x: Array, scale: Array, bias: Array, mean: Array, var: Array
) -> Array:
    if a.get("training_mode", 0):
        raise UnsupportedError(
            "expected BatchNormalization for inference, got training_mode: export the network in"
            " eval mode"
        )
    shape = (-1,) + (1,) * (x.ndim - 2)
    factor = scale / np.sqrt(var + np.float32(a.get("epsilon", 1e-5)))
    # The mean is subtracted first: x * factor and mean * factor can be large and nearly equal.
    result: Array = x - mean.reshape(shape)
    result *= factor.reshape(shape)
    result += bias.reshape(shape)
    return result.astype(x.dtype, copy=False)


def _layer_norm(a: Attributes, x: Array, scale: Array, bias: Array | None = None) -> Array:
    first = a.get("axis", -1)
    first = first + x.ndim if first < 0 else first
    axes = tuple(range(first, x.ndim))
    if x.dtype == np.float32:
        rows = x.reshape(int(np.prod(x.shape[:first])), -1)
        shift = np.zeros(1, np.float32) if bias is None else bias
        scale, shift = (np.broadcast_to(n, x.shape[first:]).reshape(-1) for n in (scale, shift))
        return layer_norm(rows, scale, shift, a.get("epsilon", 1e-5)).reshape(x.shape)
    normal = _normalized(x, axes, a.get("epsilon", 1e-5)) * scale
    return normal if bias is None else normal + bias


def _instance_norm(a: Attributes, x: Array, scale: Array, bias: Array) -> Array:
    column = (-1,) + (1,) * (x.ndim - 2)
    normal = _normalized(x, tuple(range(2, x.ndim)), a.get("epsilon", 1e-5))
    return np.asarray(normal * scale.reshape(column) + bias.reshape(column))


def _group_norm(a: Attributes, x: Array, scale: Array, bias: Array) -> Array:
    groups, channels = a["num_groups"], x.shape[1]
    by_group = x.reshape(len(x), groups, -1)
    normal = _normalized(by_group, (2,), a.get("epsilon", 1e-5)).reshape(x.shape)
    column = (-1,) + (1,) * (x.ndim - 2)
    # Before opset 21 there is one scale a group, later one a channel.
    scale, bias = (np.repeat(n, channels // n.size).reshape(column) for n in (scale, bias))
    return np.asarray(normal * scale + bias)


def _normalized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    """Normalise to mean 0 and variance 1 over the last axes."""
    rows = x.reshape(int(np.prod(x.shape[: axes[0]])), -1)
    work = np.result_type(x.dtype, np.float32)
    centred: Array = rows.astype(work, copy=False) - rows.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=1, keepdims=True)  # what the mean of large numbers lost
    largest = np.abs(centred).max(initial=0)
    if not largest < _LARGEST or epsilon < _SMALLEST:
        centred = rows - rows.mean(axis=1, dtype=np.float64, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    centred /= np.sqrt(variance + centred.dtype.type(epsilon))
    return centred.astype(x.dtype, copy=False).reshape(x.shape)


def _lp_norm(a: Attributes, x: Array) -> Array:
    wide, axis = x.astype(np.float64), a.get("axis", -1)
    norm = np.linalg.norm(wide, a.get("p", 2), axis, keepdims=True)
    # ONNX defines 0 / 0 as 0 here.
    return np.asarray(wide / np.where(norm == 0, 1, norm), x.dtype)


NORMALIZATION: dict[str, Callable[..., Array]] = {
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "BatchNormalization": _batch_norm,
    "LpNormalization": _lp_norm,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
}
"""The functions by operator type."""
