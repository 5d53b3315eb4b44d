"""The quantiles of a noise, and a piecewise-linear approximation of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.sample import TABLE_SIZE
from bnnkit.errors import ArtifactError

N_LINES = 32
_SAFETY = 1.01
"""Factor on the measured error of each line."""
_ROUNDING = 2.0**-20
"""Bound on the rounding error of the approximation, relative to the largest quantile."""


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The quantiles of a noise at the midpoints (i + 1/2) / 4096.

    Attributes:
        table: float32 (4096,), finite, not decreasing.

    Raises:
        ArtifactError: If the table has another form.
    """

    table: NDArray[np.float32]

    def __post_init__(self) -> None:
        t = self.table
        is_table = t.shape == (TABLE_SIZE,) and t.dtype == np.float32
        if not is_table or not np.isfinite(t).all() or (np.diff(t) < 0).any():
            raise ArtifactError(
                f"expected a table of {TABLE_SIZE} finite float32 quantiles that do not decrease,"
                f" got {t.dtype} of shape {t.shape} with other values; export the file again"
            )

    @cached_property
    def lines(self) -> NDArray[np.float32]:
        """Intercept, slope and error bound of each line, float32 (3, N_LINES).

        |quantile i| is approximated by intercept + slope * v, with v of `distance_from_ends`; the
        sign is that of 2i - 4095. For tables that are not symmetric, the error bounds are large.
        """
        index = np.arange(len(self.table))
        v, line = distance_from_ends(index).astype(np.float64), line_of(index)
        size = np.abs(self.table.astype(np.float64))
        lines = np.zeros((3, N_LINES), np.float32)
        for number in np.unique(line):
            members = line == number
            lines[:2, number] = _minimax_line(v[members], size[members])
        off = np.abs(approximate(lines, index) - self.table)
        error = off * _SAFETY + _ROUNDING * size.max()
        np.maximum.at(lines[2], line, error.astype(np.float32))
        return lines


def line_of(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the line of each table index (kernels/stochastic.py)."""
    return (distance_from_ends(index).view(np.int32) >> 21) & (N_LINES - 1)


def distance_from_ends(index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compute v = 33280 - |q| with q = 8 (2i - 4095), float32."""
    q = 8 * (2 * index - 4095)
    return np.asarray(33280 - np.abs(q), np.float32)


def approximate(lines: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Evaluate the approximation as the kernel does, with the one rounding of a multiply-add."""
    line, v = line_of(index), distance_from_ends(index).astype(np.float64)
    size = (lines[1, line] * v + lines[0, line]).astype(np.float32)
    return np.copysign(size.astype(np.float64), 2 * index - 4095)


def _minimax_line(v: NDArray[np.float64], size: NDArray[np.float64]) -> tuple[float, float]:
    """Fit intercept and slope: the chord, shifted so that its largest errors are equal."""
    first, last = v.argmin(), v.argmax()
    slope = (size[last] - size[first]) / (v[last] - v[first])
    off = size - slope * v
    return float((off.max() + off.min()) / 2), float(slope)
