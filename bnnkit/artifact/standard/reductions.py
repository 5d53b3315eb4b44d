"""Reductions and running sums along axes, and places of the largest and smallest elements."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]
Axes = tuple[int, ...]


def axes_of(a: Attributes, axes: Array | None) -> Axes | None:
    """Return the axes of a node: an attribute in old versions of an operator, now an input."""
    found = a.get("axes") if axes is None else axes.reshape(-1).tolist()
    return None if found is None else tuple(int(axis) for axis in found)


def _reduction(function: Callable[[Array, Axes], Array]) -> Callable[..., Array]:
    """Make an operator of a function that keeps the reduced axes, with length 1."""

    def reduce(a: Attributes, x: Array, axes: Array | None = None) -> Array:
        along = axes_of(a, axes)
        if not along:
            if a.get("noop_with_empty_axes", 0):
                return np.asarray(function(x, ()), x.dtype)
            along = tuple(range(x.ndim))
        result = np.asarray(function(x, along), x.dtype)
        return result if a.get("keepdims", 1) else np.squeeze(result, along)

    return reduce


def sum_of(x: Array, axes: Axes) -> Array:
    """Sum along axes, in float64 where partial sums overflow in the dtype of x."""
    total: Array = np.sum(x, axes, dtype=x.dtype, keepdims=True)
    if np.isfinite(total).all():
        return total
    return np.asarray(np.sum(x, axes, dtype=np.float64, keepdims=True), x.dtype)


def _product_of(x: Array, axes: Axes) -> Array:
    """Multiply along axes, in float64 where partial products overflow."""
    product: Array = np.prod(x, axes, dtype=x.dtype, keepdims=True)
    if np.isfinite(product).all():
        return product
    return np.asarray(np.prod(x, axes, dtype=np.float64, keepdims=True), x.dtype)


def mean_of(x: Array, axes: Axes) -> Array:
    """Average along axes, in float64 where the sum overflows; of integers towards zero."""
    if x.dtype.kind != "f":
        count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
        total = np.sum(x, axes, keepdims=True)
        return np.asarray((total - np.fmod(total, count)) // count, x.dtype)
    mean: Array = np.asarray(np.mean(x, axes, keepdims=True))
    if np.isfinite(mean).all():
        return mean
    return np.asarray(np.mean(x, axes, dtype=np.float64, keepdims=True), x.dtype)


def _wide_sum_of(of: Callable[[Array], Array], then: Callable[[Array], Array]) -> Any:
    """Return a function that sums in float64, whose range no square of float32 exceeds."""

    def function(x: Array, axes: Axes) -> Array:
        if x.dtype.kind == "f":
            return np.asarray(then(np.sum(of(x.astype(np.float64)), axes, keepdims=True)), x.dtype)
        return np.asarray(then(np.sum(of(x), axes, dtype=x.dtype, keepdims=True)))

    return function


def _log_sum_exp(x: Array, axes: Axes) -> Array:
    """Compute log(sum(exp(x))) along axes, relative to the maximum, so that nothing overflows."""
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    largest = np.max(x, axes, keepdims=True, initial=-np.inf)
    origin = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    return np.asarray(np.log(np.sum(np.exp(x - origin), axes, keepdims=True)) + origin)


def _extreme(function: Callable[..., Array], of_none: Any, x: Array, axes: Axes) -> Array:
    """Reduce to a maximum or minimum; `of_none` is that of no elements."""
    if x.size:
        return function(x, axes, keepdims=True)
    return function(x, axes, keepdims=True, initial=of_none)


def _ends(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the smallest and the largest number of a dtype."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _norm_1(x: Array, axes: Axes) -> Array:
    return sum_of(np.abs(x), axes)


def _norm_2(x: Array, axes: Axes) -> Array:
    return np.asarray(np.sqrt(np.sum(np.square(x.astype(np.float64)), axes, keepdims=True)))


def _same(x: Array) -> Array:
    return x


def _arg(function: Callable[..., Any]) -> Callable[..., Array]:
    def arg(a: Attributes, x: Array) -> Array:
        axis = a.get("axis", 0)
        if a.get("select_last_index", 0):
            best = x.shape[axis] - 1 - np.asarray(function(np.flip(x, axis), axis=axis))
        else:
            best = np.asarray(function(x, axis=axis))
        return np.expand_dims(best, axis) if a.get("keepdims", 1) else np.asarray(best)

    return arg


def _cumulative_sum(a: Attributes, x: Array, axis: Array) -> Array:
    along = int(axis.reshape(()))
    x = np.flip(x, along) if a.get("reverse", 0) else x
    total: Array = np.cumsum(x, along, dtype=x.dtype)
    if a.get("exclusive", 0):  # without the element itself
        total = np.roll(total, 1, along)
        np.moveaxis(total, along, 0)[:1] = 0
    return np.flip(total, along) if a.get("reverse", 0) else total


REDUCTIONS: dict[str, Callable[..., Array]] = {
    "ReduceMean": _reduction(mean_of),
    "ReduceSum": _reduction(sum_of),
    "ReduceMax": _reduction(lambda x, axes: _extreme(np.max, _ends(x.dtype)[0], x, axes)),
    "ReduceMin": _reduction(lambda x, axes: _extreme(np.min, _ends(x.dtype)[1], x, axes)),
    "ReduceProd": _reduction(_product_of),
    "ReduceL1": _reduction(_norm_1),
    "ReduceL2": _reduction(_norm_2),
    "ReduceSumSquare": _reduction(_wide_sum_of(np.square, _same)),
    "ReduceLogSum": _reduction(_wide_sum_of(_same, np.log)),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
    "CumSum": _cumulative_sum,
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
}
"""The functions by operator type."""
