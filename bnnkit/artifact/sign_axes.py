"""Signs of sequences and of values with channels last, which an artifact stores as maps."""

import json
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact

Array = NDArray[Any]
KEY: Final = "channels"
"""The key in an entry of the metadata `bnnkit.signs` that says where a module has its channels."""
LAST: Final = "last"
ROWS: Final = "/rows"
"""The end of the names of signs of rows, such as tokens in the batch."""


def channels_last_signs(artifact: Artifact) -> frozenset[str]:
    """Return the names of signs whose module has them with channels last."""
    try:
        entries = json.loads(artifact.metadata.get("signs", "[]"))
        return frozenset(entry["name"] for entry in entries if entry.get(KEY) == LAST)
    except (ValueError, TypeError, KeyError, AttributeError):  # another tool's, or a damaged file
        return frozenset()


def as_stored(x: Array, rank: int, *, channels_last: bool) -> Array:
    """Return a module's signs with the axes that they have in the artifact.

    Args:
        x: (N, C, ...), or (N, ..., C) if the channels are last.
        rank: The number of axes in the artifact.
        channels_last: Whether they are.

    Returns:
        A map (N, C, H, W) of channels last: the axis before the channels is the width, those
        before it together the height. A map of height 1 of a sequence (N, C, L).
    """
    if channels_last:
        *height, width = x.shape[1:-1]
        rows = x.reshape(len(x), prod(height), width, x.shape[-1])
        return np.moveaxis(rows, -1, 1)
    return x[:, :, None] if (x.ndim, rank) == (3, 4) else x
