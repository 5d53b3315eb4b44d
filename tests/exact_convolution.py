"""Convolution in int64, tap by tap: the slow, simple reference of every integer convolution."""

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pair = tuple[int, int]


def convolve(
    x: ArrayLike,
    weight: ArrayLike,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    padding_value: int = 0,
) -> NDArray[np.int64]:
    """Sums (N, O, H', W') of x (N, I, H, W) with weight (O, I/G, KH, KW)."""
    (top, left), w = padding, np.asarray(weight, np.int64)
    x = np.pad(
        np.asarray(x, np.int64),
        ((0, 0), (0, 0), (top, top), (left, left)),
        constant_values=padding_value,
    )
    n, out_channels = len(x), len(w)
    height, width = (
        (size - d * (k - 1) - 1) // s + 1
        for size, k, d, s in zip(x.shape[2:], w.shape[2:], dilation, stride, strict=True)
    )
    x = x.reshape(n, groups, -1, *x.shape[2:])
    w = w.reshape(groups, out_channels // groups, *w.shape[1:])
    sums = np.zeros((n, groups, out_channels // groups, height, width), np.int64)
    for i, j in product(range(w.shape[3]), range(w.shape[4])):
        rows = slice(i * dilation[0], i * dilation[0] + stride[0] * (height - 1) + 1, stride[0])
        columns = slice(j * dilation[1], j * dilation[1] + stride[1] * (width - 1) + 1, stride[1])
        sums += np.einsum("ngihw,goi->ngohw", x[..., rows, columns], w[..., i, j])
    return sums.reshape(n, out_channels, height, width)
