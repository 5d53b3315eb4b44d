"""The threshold t + r z that a stochastic sign compares an integer sum with.

The input of the sign is an affine function of the sum c, a = alpha c + beta with alpha >= 0. The
sign is +1 iff a >= z, which is c >= t + r z with r = 1 / alpha and t = -beta / alpha. A sign of a
real number has t = 0 and r = 1.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.constants import LARGEST_SCALE, SMALLEST_SCALE
from bnnkit.export.analysis.monotone import Affine

SMALLEST_SLOPE: Final = 2.0**-40
"""A smaller alpha counts as 0: no sum below 2^24 then changes a by more than 2^-16."""
_LARGEST_LIMIT: Final = 2.0**100


@dataclass(frozen=True)
class NoisyThresholds:
    """The threshold t + r z of each channel.

    Attributes:
        threshold: t, float32 (O,).
        noise_scale: r, float32 (O,), in [2^-64, 2^64].
        per_unit: 1 / alpha, float64 (O,); 0 where alpha counts as 0.
        at_zero: -beta / alpha, float64 (O,), so that c = a * per_unit + at_zero; 0 where alpha
            counts as 0.
    """

    threshold: NDArray[np.float32]
    noise_scale: NDArray[np.float32]
    per_unit: NDArray[np.float64]
    at_zero: NDArray[np.float64]


def find_noisy_thresholds(
    affine: Affine, threshold: NDArray[np.int32], bound: NDArray[np.int64]
) -> NoisyThresholds:
    """Finds the noisy threshold of each channel.

    Args:
        affine: The function from c to a, with slopes >= 0.
        threshold: T, int32 (O,): the deterministic sign is +1 iff c >= T.
        bound: K, (O,), the largest |c|.

    Returns:
        Thresholds t in (T - 1, T], so that z = 0 gives the bits of the integer threshold. Where T
        is -K (always +1) any t <= -K is allowed, and where T is K + 1 (never +1) any t > K.
    """
    alpha = np.broadcast_to(affine.slope, bound.shape)
    beta = np.broadcast_to(affine.shift, bound.shape)
    moves = alpha >= SMALLEST_SLOPE
    scale = np.where(moves, 1 / np.where(moves, alpha, 1), LARGEST_SCALE)
    exact = np.clip(-beta * scale, -_LARGEST_LIMIT, _LARGEST_LIMIT).astype(np.float32)
    highest = threshold.astype(np.float32)  # exact: |T| <= 2^24
    lowest = np.nextafter(highest - 1, np.float32(np.inf))
    return NoisyThresholds(
        np.clip(
            exact,
            np.where(threshold == -bound, -np.inf, lowest).astype(np.float32),
            np.where(threshold == bound + 1, np.inf, highest).astype(np.float32),
        ),
        np.maximum(scale, SMALLEST_SCALE).astype(np.float32),
        np.where(moves, scale, 0.0),
        np.where(moves, -beta * scale, 0.0),
    )
