"""Constant operands of elementwise operators as one number per channel, or as a map."""

from math import prod

import numpy as np

from bnnkit.runtime.memory.values import Array


def per_channel(constant: Array, channels: int, rank: int = 3) -> Array | None:
    """Reshape a constant to (channels,).

    Args:
        constant: Broadcast against (N, C, H, W) or (N, C).
        channels: C.
        rank: Number of axes without the batch, 3 or 1.

    Returns:
        (channels,), or None if the constant varies along another axis.
    """
    full = constant.reshape((1,) * (rank + 1 - constant.ndim) + constant.shape)
    others = full.shape[:1] + full.shape[2:]
    if any(size != 1 for size in others) or full.shape[1] not in (1, channels):
        return None
    return np.broadcast_to(full.reshape(-1), (channels,))


def per_last_channel(constant: Array, channels: int) -> Array | None:
    """Reshape a constant that is broadcast against (N, ..., C) to (C,); None as `per_channel`."""
    if constant.size not in (1, channels) or constant.shape[-1:] not in ((), (1,), (channels,)):
        return None
    if constant.size != prod(constant.shape[-1:]):
        return None
    return np.broadcast_to(constant.reshape(-1), (channels,))


def per_pixel(constant: Array, shape: tuple[int, ...]) -> Array | None:
    """Reshape a constant that is broadcast against (N, ..., W, C) to a map.

    Args:
        constant: The constant.
        shape: (..., W, C); H is the product of the axes before W.

    Returns:
        (H, W, C), with 1 instead of H or W along which the constant does not vary; None if it
        varies along the batch, or along some of the axes before W only.
    """
    *outer, columns, channels = shape
    full = constant.reshape((1,) * (len(shape) + 1 - constant.ndim) + constant.shape)
    batch, *rows, own_columns, _ = full.shape
    if batch != 1 or rows not in (outer, [1] * len(outer)) or own_columns not in (1, columns):
        return None
    own = (prod(rows), own_columns, channels)
    return np.broadcast_to(full, (*full.shape[:-1], channels)).reshape(own)
