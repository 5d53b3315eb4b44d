"""Operators of the reference executor that compute in float64 and round once.

ONNX's own reference computes these in the dtype of the input, so that squares overflow or vanish
and nearly equal numbers cancel: log(softmax(x)) is -inf where scores differ by 104.
"""

from math import erfc
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_batch_normalization import BatchNormalization_14

Array = NDArray[Any]


def _wide(x: Array) -> Array:
    return x.astype(np.float64)


class LogSoftmax(OpRun):
    """x - log(sum(exp(x))) along an axis."""

    op_domain = ""

    def _run(self, x: Array, axis: int | None = None) -> tuple[Array]:
        along = -1 if axis is None else axis
        shifted = _wide(x) - _wide(x).max(along, keepdims=True)
        total = np.exp(shifted).sum(along, keepdims=True)
        return ((shifted - np.log(total)).astype(x.dtype),)


class Gelu(OpRun):
    """x times the normal distribution function, or its approximation by a tanh."""

    op_domain = ""

    def _run(self, x: Array, approximate: str | None = None) -> tuple[Array]:
        wide = _wide(x)
        if approximate == "tanh":
            inner = np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)
            share = np.exp(-np.logaddexp(0, -2 * inner))  # (1 + tanh(inner)) / 2
        else:
            share = np.vectorize(erfc, otypes=[np.float64])(-wide / np.sqrt(2)) / 2
        return ((wide * share).astype(x.dtype),)


class Mish(OpRun):
    """x * tanh(log(1 + exp(x)))."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        wide = _wide(x)
        return ((wide * np.tanh(np.logaddexp(wide, 0))).astype(x.dtype),)


def _axes(axes: Array | None, noop_with_empty_axes: int | None) -> tuple[int, ...] | None:
    """Return the axes of a reduction; None stands for all."""
    if axes is None or not len(axes):
        return () if noop_with_empty_axes else None
    return tuple(int(axis) for axis in axes)


class ReduceL2(OpRun):
    """The square root of a sum of squares."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        axes: Array | None = None,
        keepdims: int | None = None,
        noop_with_empty_axes: int | None = None,
    ) -> tuple[Array]:
        along = _axes(axes, noop_with_empty_axes)
        total = np.square(_wide(x)).sum(along, keepdims=keepdims != 0)
        return (np.asarray(np.sqrt(total), x.dtype),)


class ReduceSumSquare(OpRun):
    """A sum of squares; integers keep their type."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        axes: Array | None = None,
        keepdims: int | None = None,
        noop_with_empty_axes: int | None = None,
    ) -> tuple[Array]:
        along = _axes(axes, noop_with_empty_axes)
        wide = _wide(x) if x.dtype.kind == "f" else x
        total = np.square(wide).sum(along, keepdims=keepdims != 0, dtype=wide.dtype)
        return (np.asarray(total, x.dtype),)


class LpNormalization(OpRun):
    """x divided by the sum of its absolute values, or by the root of the sum of its squares."""

    op_domain = ""

    def _run(self, x: Array, axis: int | None = None, p: int | None = None) -> tuple[Array]:
        along = -1 if axis is None else axis
        size = np.abs(_wide(x))
        if p == 1:
            norm = size.sum(along, keepdims=True)
        else:
            norm = np.sqrt(np.square(size).sum(along, keepdims=True))
        return (np.where(norm == 0, 0, _wide(x) / norm).astype(x.dtype),)


class LayerNormalization(OpRun):
    """Mean 0 and variance 1 over the last axes, then a scale and a bias for each element."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        scale: Array,
        bias: Array | None = None,
        axis: int | None = None,
        epsilon: float | None = None,
        stash_type: int | None = None,
    ) -> tuple[Array, ...]:
        first = -1 if axis is None else axis
        axes = tuple(range(first % x.ndim, x.ndim))
        wide = _wide(x)
        mean = wide.mean(axes, keepdims=True)
        variance = np.square(wide - mean).mean(axes, keepdims=True)
        inverse = 1 / np.sqrt(variance + (1e-5 if epsilon is None else epsilon))
        y = (wide - mean) * inverse * scale
        y = y if bias is None else y + bias
        return y.astype(x.dtype), mean.astype(np.float32), inverse.astype(np.float32)


class InstanceNormalization(OpRun):
    """Mean 0 and variance 1 over each channel of each image, then a scale and a bias."""

    op_domain = ""

    def _run(
        self, x: Array, scale: Array, bias: Array, epsilon: float | None = None
    ) -> tuple[Array]:
        axes = tuple(range(2, x.ndim))
        wide, column = _wide(x), (-1, *(1 for _ in axes))
        centred = wide - wide.mean(axes, keepdims=True)
        variance = np.square(centred).mean(axes, keepdims=True)
        y = centred / np.sqrt(variance + (1e-5 if epsilon is None else epsilon))
        return ((y * scale.reshape(column) + bias.reshape(column)).astype(x.dtype),)


class BatchNormalization(OpRun):
    """The normalisation with a stored mean and variance, in every opset.

    ONNX's implementation for opset 13 uses those of the batch.
    """

    op_domain = ""

    def _run(
        self,
        x: Array,
        scale: Array,
        bias: Array,
        mean: Array,
        var: Array,
        epsilon: float | None = None,
        momentum: float | None = None,
        training_mode: int | None = None,
    ) -> tuple[Array, ...]:
        given = {"epsilon": 1e-5 if epsilon is None else epsilon, "momentum": momentum}
        if training_mode:
            onnx_run: Any = BatchNormalization_14._run
            outputs = onnx_run(self, x, scale, bias, mean, var, **given, training_mode=1)
            return tuple(outputs)
        s, b, m, v = (_wide(n).reshape(-1, *(1,) * (x.ndim - 2)) for n in (scale, bias, mean, var))
        y = (_wide(x) - m) / np.sqrt(v + given["epsilon"]) * s + b
        return (y.astype(x.dtype),)


FLOAT64_OPERATORS: Final[tuple[type[OpRun], ...]] = (
    LogSoftmax,
    Gelu,
    Mish,
    ReduceL2,
    ReduceSumSquare,
    LpNormalization,
    LayerNormalization,
    InstanceNormalization,
    BatchNormalization,
)
"""The classes, for `ReferenceEvaluator(..., new_ops=...)`."""
