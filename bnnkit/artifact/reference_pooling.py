"""Pooling for the reference executor.

ONNX's own max pool is slow, fails on some paddings, and shifts windows under auto_pad SAME_LOWER.
Its average pool leaves NaN out of a window.
"""

from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.ops.op_average_pool import AveragePool_19 as OnnxAveragePool
from onnx.reference.ops.op_max_pool import MaxPool as OnnxMaxPool

Array = NDArray[Any]


class MaxPool(OnnxMaxPool):
    """Max pools maps one tap at a time; the places of the maxima are by ONNX's implementation."""

    op_domain = ""

    def _run(self, x: Array, **attributes: Any) -> Any:  # type: ignore[override]
        if len(self.output) > 1:
            return super()._run(x, **attributes)  # type: ignore[no-untyped-call]
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return (reduce(np.maximum, _taps(x, attributes, least)),)


class AveragePool(OnnxAveragePool):
    """Average pools maps one tap at a time; pixels of the padding count if the node says so."""

    op_domain = ""

    def _run(self, x: Array, **attributes: Any) -> Any:  # type: ignore[override]
        inside = np.ones((1, 1, *x.shape[2:]))
        of_padding = 1 if attributes.get("count_include_pad") else 0
        counts = sum(_taps(inside, attributes, of_padding))
        return (np.asarray(sum(_taps(x, attributes, 0)) / counts, x.dtype),)


def _taps(x: Array, attributes: dict[str, Any], of_padding: float) -> list[Array]:
    """Return the elements of all windows at each of their places, in row-major order.

    Places behind the padding, which `ceil_mode` may reach, count as the neutral element: 0 of a
    count, else what the padding has.
    """
    windows = [_window(attributes, axis, size) for axis, size in enumerate(x.shape[2:])]
    pads = [(0, 0), (0, 0), *((before, after) for before, after, _, _ in windows)]
    beyond = [(0, 0), (0, 0), *((0, behind) for _, _, behind, _ in windows)]
    padded = np.pad(
        np.pad(x, pads, constant_values=of_padding), beyond, constant_values=min(of_padding, 0)
    )
    return [_taken(padded, tap) for tap in product(*(places for _, _, _, places in windows))]


def _window(attributes: dict[str, Any], axis: int, size: int) -> tuple[int, int, int, list[range]]:
    """Return the windows along an axis.

    Returns:
        The padding before and after it, how far the last window extends behind that, and for each
        tap the places that it takes.
    """
    length = attributes["kernel_shape"][axis]
    stride = attributes["strides"][axis] if attributes["strides"] else 1
    dilation = attributes["dilations"][axis] if attributes.get("dilations") else 1
    reach = dilation * (length - 1) + 1
    rule = attributes["auto_pad"] or "NOTSET"
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        outputs = -(-size // stride)
        around = max(0, (outputs - 1) * stride + reach - size)
        before = (around + (rule == "SAME_LOWER")) // 2
        after = around - before
    else:
        pads = attributes["pads"] if attributes["pads"] and rule == "NOTSET" else None
        before, after = (pads[axis], pads[len(pads) // 2 + axis]) if pads else (0, 0)
        span = size + before + after - reach
        outputs = (-(-span // stride) if attributes["ceil_mode"] else span // stride) + 1
        if attributes["ceil_mode"] and (outputs - 1) * stride >= size + before:
            outputs -= 1  # it would start behind the input
    last = (outputs - 1) * stride + reach
    places = [
        range(tap * dilation, tap * dilation + (outputs - 1) * stride + 1, stride)
        for tap in range(length)
    ]
    return before, after, max(0, last - size - before - after), places


def _taken(padded: Array, tap: tuple[range, ...]) -> Array:
    """Return the elements at some places of each axis after the channels."""
    for axis, places in enumerate(tap):
        padded = padded.take(places, axis + 2)
    return padded
