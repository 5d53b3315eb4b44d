"""Arrays aligned to cache lines, so that loads of whole vectors do not straddle two lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64
"""Bytes of a cache line, and of the widest vector register."""


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Allocate aligned zeros, followed by one vector of memory that kernels may read."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 2 * LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def copy(array: NDArray[Any]) -> NDArray[Any]:
    """Copy an array to aligned memory."""
    result = zeros(array.shape, array.dtype)
    result[...] = array
    return result
