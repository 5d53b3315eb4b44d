"""Weights that are +-s, with one s >= 0 for each output channel: conversion packs them.

The runtime uses the same predicate to say that a plain file could be packed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_LARGEST_DEVIATION: Final = 2.0**-16
"""Larger than the rounding of scales down to 2^-9; real-valued weights differ by far more."""
_FEWEST_OF_LEVELS: Final = 8
"""With fewer weights in an output channel, that they have only two values may be chance."""


@dataclass(frozen=True)
class Scales:
    """The scales of weights (O, ...).

    Attributes:
        sizes: s, float32 (O,).
        deviation: The largest difference of a weight from +-s, relative to s.
        n_zeros: The number of weights that are 0 where s is not.
    """

    sizes: Array
    deviation: float
    n_zeros: int


@dataclass(frozen=True)
class Levels:
    """Weights (O, ...) of two numbers for each output channel, mean + half * signs.

    Attributes:
        mean: float32 (O,).
        half: float32 (O,), at least 0.
        signs: float32 (O, ...), -1 and +1.
    """

    mean: Array
    half: Array
    signs: Array


def scales(weight: Array) -> Scales | None:
    """Return the scales of weights (O, ...); None unless all weights are +-s or 0.

    Magnitudes in an output channel may differ by rounding; s is then their median. A channel with
    only zeros has s = 0, but not all channels may be dead.
    """
    # Most weights are real, and their first channel shows it.
    is_possible = weight.size > 0 and _scales(weight[:1]) is not None
    found = _scales(weight) if is_possible else None
    return found if found is not None and found.sizes.any() else None


def _scales(weight: Array) -> Scales | None:
    """Return the scales; all may be 0."""
    sizes = np.abs(weight).reshape(len(weight), -1).astype(np.float64)
    if sizes.shape[1] < 2 or not np.isfinite(sizes).all():
        return None
    middle = np.zeros(len(sizes), np.float32)
    for index, row in enumerate(sizes):
        if row.any():
            middle[index] = np.median(row[row > 0])
    relative = np.abs(sizes / np.where(middle > 0, middle, 1)[:, None] - 1)[sizes > 0]
    deviation = float(relative.max(initial=0))
    if deviation > _LARGEST_DEVIATION:
        return None
    return Scales(middle, deviation, int((sizes[middle > 0] == 0).sum()))


def two_levels(weight: Array) -> Levels | None:
    """Return the two numbers of each channel of weights; None if a channel has more than two."""
    if weight.size == 0 or not _has_two_levels(weight[:1]):
        return None
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    low, high = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    if not _has_two_levels(weight) or (low == high).all():
        return None
    signs = np.where(rows * 2 >= low + high, 1, -1).reshape(weight.shape).astype(np.float32)
    mean, half = (low + high) / 2, (high - low) / 2
    return Levels(mean.ravel().astype(np.float32), half.ravel().astype(np.float32), signs)


def _has_two_levels(weight: Array) -> bool:
    """Whether no channel has more than two numbers, and there are enough to tell."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    if rows.shape[1] < _FEWEST_OF_LEVELS or not np.isfinite(rows).all():
        return False
    low, high = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    distance = np.minimum(rows - low, high - rows)
    return not (distance > _LARGEST_DEVIATION * (high - low)).any()
