"""Class probabilities, defined in IEEE 754 float32 and float64 operations (docs/artifact.md).

NumPy's exponential depends on the instruction set that NumPy selects for the CPU. The functions
here give the same bits on every CPU: each step is one operation, rounded once, in a stated order.
They are the definition. The runtime's kernels (runtime/kernels/softmax.py) and the exported C
(runtime/c_code/sources/bnn_outputs.h) compute the same bits.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

LOG2_E: Final = np.float32(float.fromhex("0x1.715476p+0"))
LN2_HIGH: Final = np.float32(float.fromhex("0x1.62e4p-1"))
"""The first 15 bits of the logarithm of 2, so that its product with an exponent is exact."""
LN2_LOW: Final = np.float32(float.fromhex("0x1.7f7d1cp-20"))
COEFFICIENTS: Final = tuple(
    np.float32(float.fromhex(digits))
    for digits in (
        "0x1.6ac74ep-10",
        "0x1.123de0p-7",
        "0x1.555858p-5",
        "0x1.55548cp-3",
        "0x1.fffffcp-2",
    )
)
"""Coefficients of r^6 to r^2 in a polynomial for exp(r) with the smallest relative error."""
ROUNDER: Final = np.float32(1.5 * 2**23)
"""Adding it rounds a number below 2^22 to an integer, ties to even, in the lowest bits."""
MANTISSA_BITS: Final = 23
SMALLEST: Final = np.float32(-87)
"""The exponential of smaller numbers is 0, so no result is subnormal."""
LARGEST: Final = np.float32(float.fromhex("0x1.62e42ep+6"))
"""The largest float32 whose exponential is finite; larger numbers give infinity."""


def exponential(x: Float) -> Float:
    """Compute exp(x), float32, with an error below 1 unit in the last place.

    With n = x / ln 2, rounded to an integer, and r = x - n ln 2: exp(x) = 2^n exp(r).

    Args:
        x: float32, any shape. NaN gives NaN.
    """
    with np.errstate(all="ignore"):
        shifted = x * LOG2_E + ROUNDER
        n = shifted - ROUNDER
        r = (x - n * LN2_HIGH) - n * LN2_LOW
        polynomial = COEFFICIENTS[0]
        for coefficient in COEFFICIENTS[1:]:
            polynomial = polynomial * r + coefficient
        power = (polynomial * (r * r) + r) + np.float32(1)
        # 2^n is added to the exponent's bits, which is exact.
        scaled = _bits(power) + (_bits(shifted) << MANTISSA_BITS)
    found = np.where(x < SMALLEST, np.float32(0), scaled.view(np.float32))
    found = np.where(x > LARGEST, np.float32(np.inf), found)
    return np.where(np.isnan(x), x, found)


def sigmoid(log_odds: Float) -> Float:
    """Compute 1 / (1 + exp(-x)), float32: for negative numbers as exp(x) / (1 + exp(x)).

    Args:
        log_odds: float32, any shape. NaN gives NaN.
    """
    is_negative = log_odds < 0
    power = exponential(np.where(is_negative, log_odds, -log_odds))
    with np.errstate(invalid="ignore"):  # a signalling NaN warns
        return np.asarray(np.where(is_negative, power, np.float32(1)) / (np.float32(1) + power))


def softmax(scores: Float) -> Float:
    """Compute exp(x_k - m) / sum_j exp(x_j - m) over the last axis, with m the largest score.

    The exponentials are summed in float64: those of classes 0, 4, 8, ... in this order, those of
    classes 1, 5, 9, ..., and so on; the four sums s are added as (s0 + s1) + (s2 + s3), and the
    sum is rounded to float32. A row with NaN or +infinity, or of -infinity only, gives NaN.

    Args:
        scores: float32 (..., K), K at least 1.
    """
    with np.errstate(all="ignore"):
        powers = exponential(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(powers / _sum(powers)[..., None])


def _sum(numbers: Float) -> Float:
    """Sum the last axis in the order that `softmax` states; the numbers are not negative."""
    padded = np.pad(numbers, [(0, 0)] * (numbers.ndim - 1) + [(0, -numbers.shape[-1] % 4)])
    sums = np.zeros((*numbers.shape[:-1], 4), np.float64)
    for k in range(0, padded.shape[-1], 4):
        sums += padded[..., k : k + 4]
    s0, s1, s2, s3 = np.moveaxis(sums, -1, 0)
    return np.asarray(((s0 + s1) + (s2 + s3)).astype(np.float32))


def _bits(x: Float) -> NDArray[Any]:
    return np.asarray(x, np.float32).view(np.uint32)
