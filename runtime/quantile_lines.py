"""Straight lines in place of a table of quantiles, and how far they are off."""

import numpy as np
from numpy.typing import NDArray

N_LINES = 32
_SAFETY = 1.01
"""The compiler may round a line's value once or twice."""


def line_of(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """The line that stands for each index of the table: see kernels/stochastic.py."""
    return (distance_from_ends(index).view(np.int32) >> 21) & (N_LINES - 1)


def quantile_lines(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Start, slope and greatest error of each line, (3, N_LINES).

    The size of the quantile i is about start + slope * v, its sign that of q. Where that
    does not hold, in tables that are not symmetric, the error says so.

    Args:
        table: (4096,), finite, not decreasing.
    """
    index = np.arange(len(table))
    v, line = distance_from_ends(index).astype(np.float64), line_of(index)
    size = np.abs(table.astype(np.float64))
    lines = np.zeros((3, N_LINES), np.float32)
    for number in range(N_LINES):
        here = line == number
        if here.any():
            lines[:2, number] = _through(v[here], size[here])
    found = lines[0, line] + lines[1, line] * v.astype(np.float32)
    signed = np.copysign(found.astype(np.float64), 2 * index - 4095)
    # float32's own rounding of the products is far below this share of the largest quantile
    error = np.abs(signed - table) * _SAFETY + 2.0**-20 * size.max()
    np.maximum.at(lines[2], line, error.astype(np.float32))
    return lines


def distance_from_ends(index: NDArray[np.int64]) -> NDArray[np.float32]:
    """V = 33280 - |q| with q = 8 (2i - 4095)."""
    q = 8 * (2 * index - 4095)
    return np.asarray(33280 - np.abs(q), np.float32)


def _through(v: NDArray[np.float64], size: NDArray[np.float64]) -> tuple[float, float]:
    """Start and slope of the line whose greatest error is small: the chord, moved by half."""
    first, last = v.argmin(), v.argmax()
    width = v[last] - v[first]
    slope = (size[last] - size[first]) / width if width else 0.0
    off = size - slope * v
    return float((off.max() + off.min()) / 2), float(slope)
