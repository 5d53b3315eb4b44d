"""Operators that read and write elements by computed places."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]

_REDUCTIONS: Final[dict[bytes, Any]] = {
    b"none": None,
    b"add": np.add,
    b"mul": np.multiply,
    b"max": np.maximum,
    b"min": np.minimum,
}


def _gather_elements(a: Attributes, x: Array, places: Array) -> Array:
    return np.asarray(x[_around(a.get("axis", 0), x, places)])


def _scatter_elements(a: Attributes, x: Array, places: Array, updates: Array) -> Array:
    return _written(a, x, _around(a.get("axis", 0), x, places), updates)


def _around(axis: int, x: Array, places: Array) -> tuple[Array, ...]:
    """Return the index of each element: its own place, but for one axis."""
    index: list[Array] = list(np.indices(places.shape, sparse=True))
    index[axis] = places
    return tuple(index)


def _gather_nd(a: Attributes, x: Array, places: Array) -> Array:
    shared = a.get("batch_dims", 0)
    own = np.indices(places.shape[:-1], sparse=True)[:shared]
    index = (*own, *np.moveaxis(places, -1, 0))
    return np.asarray(x[index])


def _scatter_nd(a: Attributes, x: Array, places: Array, updates: Array) -> Array:
    return _written(a, x, tuple(np.moveaxis(places, -1, 0)), updates)


def _written(a: Attributes, x: Array, index: tuple[Array, ...], updates: Array) -> Array:
    """Return x with updates written to, or combined with, some of its elements."""
    reduction = a.get("reduction", b"none")
    if reduction not in _REDUCTIONS:
        raise UnsupportedError(f"expected a reduction among add, mul, max, min, got {reduction!r}")
    result: Array = x.copy()
    if reduction == b"none":
        result[index] = updates
    else:
        _REDUCTIONS[reduction].at(result, index, updates)
    return result


def _one_hot(a: Attributes, places: Array, depth: Array, values: Array) -> Array:
    count, axis = int(depth.reshape(())), a.get("axis", -1)
    off, on = values
    # Places from -depth to -1 count from the end; others beyond the range are nowhere.
    wrapped = np.where(places < 0, places + count, places)
    column = np.arange(count).reshape(-1, *(1,) * (places.ndim - axis % (places.ndim + 1)))
    return np.where(np.expand_dims(wrapped, axis) == column, on, off).astype(values.dtype)


INDEXING: dict[str, Callable[..., Array]] = {
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "OneHot": _one_hot,
}
"""The functions by operator type."""
