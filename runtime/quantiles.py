"""The quantiles of a noise, and straight lines in place of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.sample import TABLE_SIZE
from bnnkit.errors import ArtifactError

N_LINES = 32
_SAFETY = 1.01
_ROUNDING = 2.0**-20
"""Of the largest quantile: more than float32's roundings of its own numbers."""


@dataclass(frozen=True, eq=False)
class Quantiles:
    """A table of quantiles that the kernels can look up without leaving it.

    Attributes:
        table: float32 (4096,), finite, not decreasing.

    Raises:
        ArtifactError: It is something else.
    """

    table: NDArray[np.float32]

    def __post_init__(self) -> None:
        t = self.table
        is_table = t.shape == (TABLE_SIZE,) and t.dtype == np.float32
        if not is_table or not np.isfinite(t).all() or (np.diff(t) < 0).any():
            raise ArtifactError(
                f"expected a table of {TABLE_SIZE} finite float32 quantiles that do not decrease,"
                f" got {t.dtype} of shape {t.shape}, or others; export the file again"
            )

    @cached_property
    def lines(self) -> NDArray[np.float32]:
        """Start, slope and greatest error of each line, (3, N_LINES).

        The size of the quantile i is about start + slope * v, its sign that of q. Where that does
        not hold, in tables that are not symmetric, the error says so.
        """
        index = np.arange(len(self.table))
        v, line = distance_from_ends(index).astype(np.float64), line_of(index)
        size = np.abs(self.table.astype(np.float64))
        lines = np.zeros((3, N_LINES), np.float32)
        for number in np.unique(line):
            here = line == number
            lines[:2, number] = _through(v[here], size[here])
        off = np.abs(on_lines(lines, index) - self.table)
        error = off * _SAFETY + _ROUNDING * size.max()
        np.maximum.at(lines[2], line, error.astype(np.float32))
        return lines


def line_of(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """The line that stands for each index of the table: see kernels/stochastic.py."""
    return (distance_from_ends(index).view(np.int32) >> 21) & (N_LINES - 1)


def distance_from_ends(index: NDArray[np.int64]) -> NDArray[np.float32]:
    """The number v = 33280 - |q|, with q = 8 (2i - 4095)."""
    q = 8 * (2 * index - 4095)
    return np.asarray(33280 - np.abs(q), np.float32)


def on_lines(lines: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the kernel finds in place of the quantiles: one rounding, as in its multiply-add."""
    line, v = line_of(index), distance_from_ends(index).astype(np.float64)
    size = (lines[1, line] * v + lines[0, line]).astype(np.float32)
    return np.copysign(size.astype(np.float64), 2 * index - 4095)


def _through(v: NDArray[np.float64], size: NDArray[np.float64]) -> tuple[float, float]:
    """Start and slope of the line whose greatest error is small: the chord, moved by half."""
    first, last = v.argmin(), v.argmax()
    slope = (size[last] - size[first]) / (v[last] - v[first])
    off = size - slope * v
    return float((off.max() + off.min()) / 2), float(slope)
