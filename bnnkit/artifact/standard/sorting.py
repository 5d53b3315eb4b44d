"""TopK: the largest or smallest elements along an axis, and their places."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _top_k(a: Attributes, x: Array, k: Array) -> tuple[Array, Array]:
    """Return the values and their places. Of equal elements, the first comes first."""
    axis, count = a.get("axis", -1), int(k.reshape(()))
    if a.get("largest", 1):
        # A stable sort of the reversed axis has equal elements in falling order.
        last = x.shape[axis] - 1
        order = np.flip(last - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    places = np.take(order, range(count), axis)
    return np.take_along_axis(x, places, axis), places.astype(np.int64)


SORTING: dict[str, Callable[..., tuple[Array, ...]]] = {"TopK": _top_k}
"""The function by operator type."""
