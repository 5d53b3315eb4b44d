"""Finds the integer sum at which a sign changes, by evaluating the expression, not by algebra.

An expression solved for the sum is rounded differently from the one that was trained. Evaluating
the trained expression itself gives exactly its signs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SignsOfSums = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Maps one integer sum for each channel, (O,), to whether the channel's sign is +1."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of all output channels.

    Attributes:
        threshold: int32 (O,), in [-K, K + 1]: the sign is +1 where side * c >= threshold.
        side: int8 (O,): -1 on channels where the sign decreases with the sum c, else +1.
    """

    threshold: NDArray[np.int32]
    side: NDArray[np.int8]


def find_thresholds(signs: SignsOfSums, bound: NDArray[np.int64]) -> Thresholds:
    """Finds the threshold of each channel by bisection.

    Args:
        signs: Monotone on each channel; called for sums in [-K, K] only.
        bound: K, shape (O,).
    """
    side = np.where(signs(-bound) & ~signs(bound), -1, 1).astype(np.int8)
    # The sign is -1 at `below` and +1 at `above`. Both start one step outside of [-K, K], where
    # these signs are assumed.
    below, above = -bound - 1, bound + 1
    while np.any(above - below > 1):
        middle = (below + above) // 2
        is_plus = signs(side * np.clip(middle, -bound, bound))
        is_open = above - below > 1
        above = np.where(is_open & is_plus, middle, above)
        below = np.where(is_open & ~is_plus, middle, below)
    return Thresholds(above.astype(np.int32), side)
