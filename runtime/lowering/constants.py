"""Constant operands of elementwise operators as one number per channel."""

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
