"""Col2Im: windows of a map, each a column, added up at their places."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _col_to_im(a: Attributes, columns: Array, sizes: Array, block: Array) -> Array:
    """Add columns (N, C * prod(block), L) up to a map (N, C, *sizes)."""
    rank = len(sizes)
    image, window = sizes.tolist(), block.tolist()
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = a.get("pads", [0] * 2 * rank)
    padded = [image[i] + pads[i] + pads[rank + i] for i in range(rank)]
    counts = [
        (padded[i] - dilations[i] * (window[i] - 1) - 1) // strides[i] + 1 for i in range(rank)
    ]
    parts = columns.reshape(len(columns), -1, *window, *counts)
    total = np.zeros((len(columns), parts.shape[1], *padded), columns.dtype)
    for place in product(*map(range, window)):
        starts = [place[i] * dilations[i] for i in range(rank)]
        where = (
            slice(start, start + (counts[i] - 1) * strides[i] + 1, strides[i])
            for i, start in enumerate(starts)
        )
        target: Any = (slice(None), slice(None), *where)
        source: Any = (slice(None), slice(None), *place)
        total[target] += parts[source]
    inside = (slice(pads[i], pads[i] + image[i]) for i in range(rank))
    cut = (slice(None), slice(None), *inside)
    return np.asarray(total[cut])


COLUMNS: dict[str, Callable[..., Array]] = {"Col2Im": _col_to_im}
"""The function by operator type."""
