"""Pooling of real-valued maps (N, C, H, W)."""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def _global_average_pool(a: Attributes, x: Array) -> Array:
    return np.asarray(np.mean(x, axis=tuple(range(2, x.ndim)), keepdims=True))


def _global_max_pool(a: Attributes, x: Array) -> Array:
    return np.asarray(np.max(x, axis=tuple(range(2, x.ndim)), keepdims=True))


def pool_output(
    size: int, window: int, stride: int, pads: tuple[int, int], dilation: int, ceil: bool
) -> int:
    """Compute the output length of a pooling along one axis, by the ONNX specification."""
    span = size + sum(pads) - (dilation * (window - 1) + 1)
    if not ceil:
        return span // stride + 1
    length = -(-span // stride) + 1
    # A window that would start in the padding after the input is left out.
    return length - 1 if (length - 1) * stride >= size + pads[0] else length


def explicit_pads(a: Attributes) -> tuple[int, int, int, int]:
    """Return the padding at the top, left, bottom and right.

    Raises:
        UnsupportedError: If the padding is determined by auto_pad.
    """
    if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        rule = a["auto_pad"].decode()
        raise UnsupportedError(f"expected explicit pads, got auto_pad {rule}: export with pads")
    top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
    return top, left, bottom, right


def _windows(a: Attributes, x: Array, fill: float) -> tuple[list[Array], tuple[int, int]]:
    """Return an array over all outputs for each pixel of the window, in row-major order."""
    size = a["kernel_shape"]
    if len(size) != 2:
        raise UnsupportedError(f"expected a pooling over 2 axes, got {len(size)}")
    stride = a.get("strides", [1, 1])
    dilation = a.get("dilations", [1, 1])
    top, left, bottom, right = explicit_pads(a)
    ceil = bool(a.get("ceil_mode", 0))
    out = tuple(
        pool_output(x.shape[2 + i], size[i], stride[i], pads, dilation[i], ceil)
        for i, pads in enumerate(((top, bottom), (left, right)))
    )
    reach = [(out[i] - 1) * stride[i] + dilation[i] * (size[i] - 1) + 1 for i in range(2)]
    after = [max(0, reach[i] - x.shape[2 + i] - (top, left)[i]) for i in range(2)]
    padded = np.pad(x, ((0, 0), (0, 0), (top, after[0]), (left, after[1])), constant_values=fill)
    pixels = [
        padded[
            :,
            :,
            ky * dilation[0] :: stride[0],
            kx * dilation[1] :: stride[1],
        ][:, :, : out[0], : out[1]]
        for ky in range(size[0])
        for kx in range(size[1])
    ]
    return pixels, (out[0], out[1])


def _max_pool(a: Attributes, x: Array) -> Array:
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    pixels, _ = _windows(a, x, low)
    return reduce(np.maximum, pixels)


def _average_pool(a: Attributes, x: Array) -> Array:
    pixels, _ = _windows(a, x, 0)
    inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if a.get("count_include_pad", 0):
        top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
        inside = np.pad(inside, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=1)
        a = {**a, "pads": [0, 0, 0, 0]}
    counted, _ = _windows(a, inside, 0)
    return sum(pixels[1:], start=pixels[0]) / sum(counted[1:], start=counted[0])


POOLING: dict[str, Callable[..., Array]] = {
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
}
