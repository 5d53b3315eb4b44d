"""The float32 numbers in their order, as integers, and where a predicate on them changes.

The number of x counts the float32 numbers between 0 and x; -0 and 0 are one. So an interval of
float32 numbers is one of integers, and every float32 in it can be reached by bisection.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LARGEST_ORDINAL: Final = int(np.array(np.finfo(np.float32).max).view(np.int32))
"""The number of the largest finite float32."""

Array = NDArray[Any]


def ordinal(x: float | np.float32) -> int:
    """The number of a finite float32."""
    bits = int(np.array(x, np.float32).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def from_ordinal(numbers: int | Array) -> Array:
    """The float32 of each number; 0 is +0."""
    bits = np.asarray(numbers, np.int64)
    magnitude = np.abs(bits).astype(np.int32).view(np.float32)
    return np.where(bits < 0, -magnitude, magnitude).astype(np.float32)


def first_where(is_past: Callable[[Array], Array], low: int, high: int) -> int:
    """The first number of [low, high] at which a predicate holds that once true stays true.

    Args:
        is_past: From float32 (1,) to bool (1,).
        low: Of the least number.
        high: Of the greatest.

    Returns:
        high + 1 where it holds nowhere.
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
    """Up to n float32 numbers of an interval that are at most `largest` in size, both ends too."""
    bound = ordinal(largest)
    low, high = max(low, -bound), min(high, bound)
    if low > high:
        return np.zeros(0, np.float32)
    return from_ordinal(np.unique(np.linspace(low, high, n).astype(np.int64)))
