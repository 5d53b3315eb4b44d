"""The layer norm of float32 rows, in a fixed order of operations that fixes its bits.

docs/artifact.md describes it too.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

LANES: Final = 16
"""Partial sums of a row."""


def layer_norm(
    rows: NDArray[Any], scale: NDArray[Any], bias: NDArray[Any], epsilon: float
) -> NDArray[Any]:
    """Normalise rows (R, C) to mean 0 and variance 1, then apply scale and bias, (C,) each.

    With S, which adds up sixteen partial sums in float64: the mean is m = S(x) / C, the factor
    q = 1 / sqrt(S((x - m)^2) / C + epsilon), all in float64. The result is
    float32((x - m) q) scale + bias, rounded to float32 after each operation.
    """
    wide = rows.astype(np.float64)
    count = np.float64(rows.shape[1])
    centred: Wide = wide - _sums(wide) / count
    squares: Wide = centred * centred
    variance = _sums(squares) / count
    factor = 1.0 / np.sqrt(variance + np.float64(np.float32(epsilon)))
    normal = (centred * factor).astype(np.float32)
    return np.asarray(normal * scale + bias, np.float32)


def _sums(rows: Wide) -> Wide:
    """Add up each row, (R, 1): lane j of 16 adds the numbers j, j + 16, ... in this order.

    Then lanes j and j + 8 are added, j and j + 4, j and j + 2, and both that are left.
    """
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % LANES)))
    lanes = np.zeros((len(rows), LANES))
    for first in range(0, padded.shape[1], LANES):
        lanes += padded[:, first : first + LANES]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes
