"""The float32 numbers in ascending order as integers, for bisection.

The ordinal of x is the signed count of float32 numbers from 0 to x; -0 and 0 are the same. So an
interval of float32 numbers is an interval of integers, and bisection can reach every float32.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LARGEST_ORDINAL: Final = int(np.array(np.finfo(np.float32).max).view(np.int32))
"""The ordinal of the largest finite float32."""

Array = NDArray[Any]


def ordinal(x: float | np.float32) -> int:
    """The ordinal of a finite float32."""
    bits = int(np.array(x, np.float32).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def from_ordinal(numbers: int | Array) -> Array:
    """The float32 numbers with these ordinals; ordinal 0 gives +0."""
    bits = np.asarray(numbers, np.int64)
    magnitude = np.abs(bits).astype(np.int32).view(np.float32)
    return np.where(bits < 0, -magnitude, magnitude).astype(np.float32)


def first_where(is_past: Callable[[Array], Array], low: int, high: int) -> int:
    """Finds the first ordinal in [low, high] at which a monotone predicate is true.

    Args:
        is_past: From float32 (1,) to bool (1,); once true, it stays true.
        low: The ordinal of the first number.
        high: The ordinal of the last number.

    Returns:
        The ordinal; high + 1 if the predicate is nowhere true.
    """
    after = high + 1
    while low < after:
        middle = (low + after) // 2
        if bool(is_past(from_ordinal(np.array([middle])))[0]):
            after = middle
        else:
            low = middle + 1
    return low


def sample(low: int, high: int, largest: float, n: int) -> Array:
    """Up to n float32 numbers of an interval, with magnitudes up to `largest`, and both ends."""
    bound = ordinal(largest)
    low, high = max(low, -bound), min(high, bound)
    if low > high:
        return np.zeros(0, np.float32)
    return from_ordinal(np.unique(np.linspace(low, high, n).astype(np.int64)))
