"""Lowers pooling of maps of signs and of numbers."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.pool_2d import pool_2d
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import Kind, TfliteValue
from bnnkit.tflite.schema import Builtin, Padding
from bnnkit.tflite.window import NO_PADS, Pair, Window

_LOWEST = float(np.finfo(np.float32).min)
_LEAST: Final[dict[Kind, float | None]] = {
    "image": None,
    "signs": -1,
    "sum": _LOWEST,
    "real": _LOWEST,
}
"""Padding that never is a maximum. For signs it is -1 as int8, or a word of 32 signs -1: a maximum
takes none of its bits, and the unused bits of the map stay clear. For an image it is 0, with which
`pad` pads by default."""


def max_pool(builder: TfliteBuilder, node: Node) -> None:
    """Lower MaxPool to a pool of signs or MAX_POOL_2D, after padding if TFLite's SAME differs."""
    x = layout.materialized(builder, builder.value(node))
    tensor, (channels, *_), window = *layout.as_map(builder, x), _window(node, x)
    size, padding = (x.shape[1], x.shape[2]), Padding.VALID
    output = window.output(size)
    if window.pads != NO_PADS and window.is_same(size):
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        tensor = arithmetic.pad(builder, tensor, window.pads, _LEAST[x.kind])
    if x.kind == "signs":
        pooled = builder.signs.max_pool(builder, tensor, window, padding)
    else:
        pooled = pool_2d(builder, Builtin.MAX_POOL_2D, tensor, window, padding)
    shape = (channels, *output)
    builder.give(node.output, replace(x, tensor=pooled, shape=shape, map=shape))


def average_pool(builder: TfliteBuilder, node: Node) -> None:
    """Lower AveragePool to AVERAGE_POOL_2D, which does not count the pads of SAME.

    Pads that count are emitted before it. Other pads, which do not count, are emitted before it
    too, and a factor for each output after it corrects the average.
    """
    x = builder.value(node)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    window, size = _window(node, x), (x.shape[1], x.shape[2])
    tensor, padding, factors = x.tensor, Padding.VALID, None
    own = conv_window(node, window.kernel).pads
    if own != NO_PADS and node.attributes.get("count_include_pad", 0):
        tensor = arithmetic.pad(builder, tensor, own)
        size = size[0] + own[0] + own[2], size[1] + own[1] + own[3]
        window = window.with_pads((0, 0, window.pads[2] - own[2], window.pads[3] - own[3]))
    output = window.output(size)
    if window.pads != NO_PADS and window.is_same(size):
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        factors = _shares(window, size)
        tensor = arithmetic.pad(builder, tensor, window.pads)
    pooled = pool_2d(builder, Builtin.AVERAGE_POOL_2D, tensor, window, padding)
    if factors is not None:
        pooled = arithmetic.scale(builder, pooled, factors)
    shape = (x.shape[0], *output)
    builder.give(node.output, layout.real(x, pooled, shape=shape, map=shape))


def _shares(window: Window, size: Pair) -> NDArray[np.float32]:
    """Pixels of a window divided by its pixels inside the map, (OH, OW, 1).

    Raises:
        UnsupportedError: A window has no pixel inside the map.
    """
    inside = []
    for axis, count in enumerate(window.output(size)):
        starts = np.arange(count) * window.strides[axis] - window.pads[axis]
        ends = np.minimum(starts + window.kernel[axis], size[axis])
        inside.append(ends - np.maximum(starts, 0))
    counts = np.outer(*inside)
    if min(map(np.min, inside)) < 1:
        raise UnsupportedError(
            f"expected pixels in every window, got some with none: the pads are {window.pads}"
        )
    shares: NDArray[np.float32] = (math.prod(window.kernel) / counts).astype(np.float32)
    return shares[..., None]


def _window(node: Node, x: TfliteValue) -> Window:
    """The window, with the additional pads that ceil_mode needs.

    Raises:
        UnsupportedError: The window is dilated, or the input is not a map.
    """
    window = conv_window(node, node.attributes["kernel_shape"])
    if window.dilations != (1, 1) or len(x.shape) != 3:
        raise UnsupportedError(
            f"expected a map, and no dilation, got (N, *{x.shape}) and {window.dilations}"
        )
    if not node.attributes.get("ceil_mode", 0):
        return window
    top, left, bottom, right = window.pads
    more = [
        _missing(n + before + after, before + n, extent, stride)
        for n, before, after, extent, stride in zip(
            x.shape[1:], (top, left), (bottom, right), window.extent, window.strides, strict=True
        )
    ]
    return window.with_pads((top, left, bottom + more[0], right + more[1]))


def _missing(span: int, end: int, extent: int, stride: int) -> int:
    """Pixels that a last, partial window needs after the padded span.

    There is no such window if it would start after the end of the map.
    """
    count = -(-(span - extent) // stride)
    return max(count * stride + extent - span, 0) if count * stride < end else 0
