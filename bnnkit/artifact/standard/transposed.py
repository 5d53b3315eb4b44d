"""ConvTranspose: each pixel adds its multiple of the kernel to the output."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.pooling import window_pads
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _conv_transpose(a: Attributes, x: Array, w: Array, bias: Array | None = None) -> Array:
    """Add one matrix product for each tap of the kernel.

    x is (N, C, ...), w is (C, M / group, ...), the result is (N, M, ...).
    """
    if a.get("output_shape"):
        raise UnsupportedError(
            "ConvTranspose with the attribute output_shape is not supported: export with pads and"
            " output_padding"
        )
    rank, group = x.ndim - 2, a.get("group", 1)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads, extra = window_pads(a, rank), a.get("output_padding", [0] * rank)
    whole = [
        (x.shape[2 + i] - 1) * strides[i] + dilations[i] * (w.shape[2 + i] - 1) + 1 + extra[i]
        for i in range(rank)
    ]
    pixels = x.reshape(len(x), group, x.shape[1] // group, -1)
    kernels = w.reshape(group, w.shape[0] // group, *w.shape[1:])
    y = np.zeros((len(x), group, w.shape[1], *whole), x.dtype)
    for tap in product(*map(range, w.shape[2:])):
        kernel = np.swapaxes(kernels[(slice(None),) * 3 + tap], 1, 2)  # (G, M / G, C / G)
        part = (kernel @ pixels).reshape(*y.shape[:3], *x.shape[2:])
        places = map(_places, tap, dilations, strides, x.shape[2:])
        y[(slice(None),) * 3 + tuple(places)] += part
    inside = [slice(pads[i], size - pads[rank + i]) for i, size in enumerate(whole)]
    y = y[(slice(None),) * 3 + tuple(inside)]
    y = y.reshape(len(x), -1, *y.shape[3:])
    return y if bias is None else y + bias.reshape(-1, *(1,) * rank)


def _places(tap: int, dilation: int, stride: int, pixels: int) -> slice:
    """Return the outputs along one axis to which the pixels add this tap's multiple of them."""
    first = tap * dilation
    return slice(first, first + (pixels - 1) * stride + 1, stride)


TRANSPOSED: dict[str, Callable[..., Array]] = {"ConvTranspose": _conv_transpose}
"""The function by operator type."""
