"""Arrays filled with constants or counts, and triangles of matrices."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _constant_of_shape(a: Attributes, shape: Array) -> Array:
    value = a.get("value")
    number = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full([int(size) for size in shape], number.reshape(()))


def _range(a: Attributes, start: Array, limit: Array, delta: Array) -> Array:
    first, end, step = (n.reshape(()) for n in (start, limit, delta))
    count = max(0, int(np.ceil((end.astype(np.float64) - first) / step)))
    # Each number is computed alone; `np.arange` adds steps up.
    return np.asarray(first + np.arange(count, dtype=first.dtype) * step, first.dtype)


def _eye_like(a: Attributes, x: Array) -> Array:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(a["dtype"]) if "dtype" in a else x.dtype
    rows, columns = x.shape
    return np.asarray(np.eye(rows, columns, a.get("k", 0), dtype))


def _triangle(a: Attributes, x: Array, k: Array | None = None) -> Array:
    offset = 0 if k is None else int(k.reshape(()))
    rows, columns = (np.arange(size) for size in x.shape[-2:])
    difference = columns - rows[:, None]
    inside = difference >= offset if a.get("upper", 1) else difference <= offset
    return np.where(inside, x, x.dtype.type(0))


FILLING: dict[str, Callable[..., Array]] = {
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "EyeLike": _eye_like,
    "Trilu": _triangle,
}
"""The functions by operator type."""
