"""The attributes and the reference that all convolutions share."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CONVOLUTION: Final = ("strides", "pads", "dilations", "group")
"""The attributes of every convolution; `convolve` explains them."""

GEOMETRY: Final = (
    "strides: ints = @strides, pads: ints = @pads, "
    "dilations: ints = @dilations, group: int = @group"
)
"""The attributes as a body passes them on."""


def convolve(
    x: Array,
    w: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """Convolve by definition, with one matrix product for each tap.

    Args:
        x: float64, (N, I, H, W).
        w: float64, (O, I / group, KH, KW).
        strides: Vertical and horizontal strides.
        pads: Zero padding at top, left, bottom, right.
        dilations: Vertical and horizontal dilations.
        group: The number of groups of channels.

    Returns:
        float64, (N, O, OH, OW).
    """
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = (
        (x.shape[2 + i] - dilations[i] * (w.shape[2 + i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    )
    inputs = x.reshape(len(x), group, -1, *x.shape[2:])
    filters = w.reshape(group, -1, *w.shape[1:])
    sums = np.zeros((len(x), group, filters.shape[1], height * width))
    for ky in range(w.shape[2]):
        for kx in range(w.shape[3]):
            rows = inputs[
                :, :, :, ky * dilations[0] :: strides[0], kx * dilations[1] :: strides[1]
            ]
            taps = rows[:, :, :, :height, :width].reshape(*inputs.shape[:3], -1)
            sums += filters[..., ky, kx] @ taps  # (G, O/G, I/G) @ (N, G, I/G, OH * OW)
    return sums.reshape(len(x), -1, height, width)
