"""A max pool for the reference executor.

ONNX's own is slow, fails on some paddings, and shifts windows under auto_pad SAME_LOWER.
"""

from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.ops.op_max_pool import MaxPool as OnnxMaxPool

Array = NDArray[Any]


class MaxPool(OnnxMaxPool):
    """Max pools maps one tap at a time; the places of the maxima are by ONNX's implementation."""

    op_domain = ""

    def _run(self, x: Array, **attributes: Any) -> Any:  # type: ignore[override]
        if len(self.output) > 1:
            return super()._run(x, **attributes)  # type: ignore[no-untyped-call]
        windows = [_window(attributes, i, size) for i, size in enumerate(x.shape[2:])]
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        widths = [(0, 0), (0, 0), *((before, after) for before, after, _ in windows)]
        padded = np.pad(x, widths, constant_values=least)
        taps = product(*(places for _, _, places in windows))
        return (reduce(np.maximum, (_taken(padded, tap) for tap in taps)),)


def _window(attributes: dict[str, Any], axis: int, size: int) -> tuple[int, int, list[range]]:
    """Return the padding before and after an axis, and for each tap the places that it takes."""
    length = attributes["kernel_shape"][axis]
    stride = attributes["strides"][axis] if attributes["strides"] else 1
    dilation = attributes["dilations"][axis] if attributes["dilations"] else 1
    reach = dilation * (length - 1) + 1
    rule = attributes["auto_pad"] or "NOTSET"
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        outputs = -(-size // stride)
        around = max(0, (outputs - 1) * stride + reach - size)
        before = (around + (rule == "SAME_LOWER")) // 2
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
    return before, max(0, last - size - before), places


def _taken(padded: Array, tap: tuple[range, ...]) -> Array:
    """Return the elements at some places of each axis after the channels."""
    for axis, places in enumerate(tap):
        padded = padded.take(places, axis + 2)
    return padded
