"""Where a sign changes over integer sums: found by evaluating the expression, not by algebra.

An expression solved for c on paper is rounded differently from the one that was trained;
evaluated, it cannot disagree.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SignsOfSums = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""One integer for each channel, (O,), to whether the channel's sign is +1."""


@dataclass(frozen=True)
class Thresholds:
    """Where signs change.

    Attributes:
        threshold: int32 (O,), in [-K, K + 1]: the sign is +1 where side * c >= threshold.
        side: int8 (O,): -1 on channels where the sign decreases with c, else +1.
    """

    threshold: NDArray[np.int32]
    side: NDArray[np.int8]


def find_thresholds(signs: SignsOfSums, bound: NDArray[np.int64]) -> Thresholds:
    """The threshold of each channel, by bisection.

    Args:
        signs: Monotone on each channel; it is asked for c in [-K, K] only.
        bound: K, shape (O,).
    """
    side = np.where(signs(-bound) & ~signs(bound), -1, 1).astype(np.int8)
    # side * c is -1 at `below` and +1 at `above`; both begin one step outside of [-K, K], where
    # that is so by agreement.
    below, above = -bound - 1, bound + 1
    while np.any(above - below > 1):
        middle = (below + above) // 2
        is_plus = signs(side * np.clip(middle, -bound, bound))
        is_open = above - below > 1
        above = np.where(is_open & is_plus, middle, above)
        below = np.where(is_open & ~is_plus, middle, below)
    return Thresholds(above.astype(np.int32), side)
