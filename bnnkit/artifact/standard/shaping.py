"""Operators that move elements."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def axes_of(a: Attributes, axes: Array | None) -> tuple[int, ...] | None:
    """Return the axes of a node: an attribute in old versions of an operator, now an input."""
    found = a.get("axes") if axes is None else axes.tolist()
    return None if found is None else tuple(int(axis) for axis in found)


def _flatten(a: Attributes, x: Array) -> Array:
    axis = a.get("axis", 1) % (x.ndim + 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _reshape(a: Attributes, x: Array, shape: Array) -> Array:
    sizes = [x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)]
    return x.reshape(sizes)


def _squeeze(a: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, axes_of(a, axes))


def _unsqueeze(a: Attributes, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, axes_of(a, axes) or ())


def _transpose(a: Attributes, x: Array) -> Array:
    return np.transpose(x, a.get("perm"))


def _concat(a: Attributes, *xs: Array) -> Array:
    return np.concatenate(xs, axis=a["axis"])


def _slice(
    a: Attributes,
    x: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    cut = [slice(None)] * x.ndim
    along = range(len(starts)) if axes is None else axes.tolist()
    for i, axis in enumerate(along):
        step = 1 if steps is None else int(steps[i])
        end = int(ends[i])
        # With a negative step, an end before the first element includes that element.
        stop = None if step < 0 and end < -x.shape[axis] else end
        cut[axis] = slice(int(starts[i]), stop, step)
    return x[tuple(cut)]


def _pad(
    a: Attributes, x: Array, pads: Array, value: Array | None = None, axes: Array | None = None
) -> Array:
    widths = [(0, 0)] * x.ndim
    half = len(pads) // 2
    for i, axis in enumerate(range(half) if axes is None else axes.tolist()):
        widths[axis] = (int(pads[i]), int(pads[i + half]))
    # A negative width crops.
    x = x[tuple(slice(max(0, -before), min(0, after) or None) for before, after in widths)]
    grown = [(max(0, before), max(0, after)) for before, after in widths]
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        return np.pad(x, grown, constant_values=x.dtype.type(0 if value is None else value))
    return np.pad(x, grown, mode=mode)  # reflect, edge and wrap have the same names in NumPy


SHAPING: dict[str, Callable[..., Array]] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Pad": _pad,
    "Shape": lambda a, x: np.array(x.shape[a.get("start", 0) : a.get("end")], np.int64),
    "Gather": lambda a, x, i: np.take(x, i, axis=a.get("axis", 0)),
}
