"""Arrays that start at a cache line, so that no load of a whole vector touches two of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64
"""Bytes of a cache line, and of the widest vector."""


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros, with a vector's worth of memory behind them that kernels may read but do not use."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 2 * LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def copy(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers."""
    result = zeros(array.shape, array.dtype)
    result[...] = array
    return result
