"""Pooling of maps, of signs and of numbers."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout, options
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.values import Value
from bnnkit.export.tflite.window import NO_PADS, Pair, Window
from bnnkit.tflite_schema import Builtin, Padding

_MINUS = -1
"""A sign of int8, or a word of 32 -1s: a maximum takes none of its bits, and those of the map that
are unused stay clear."""
_LEAST = float(np.finfo(np.float32).min)


def max_pool(draft: Draft, node: Node) -> None:
    """A pool of signs, or MAX_POOL_2D; pads that are not TFLite's SAME are put before it."""
    x = layout.settled(draft, draft.value(node))
    tensor, (channels, *_), window = *layout.as_map(draft, x), _window(node, x)
    size, padding = (x.shape[1], x.shape[2]), Padding.VALID
    output = window.output(size)
    if window.pads != NO_PADS and window.is_same(size):
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        least = _MINUS if x.kind == "signs" else _LEAST
        tensor = arithmetic.pad(draft, tensor, window.pads, least)
    if x.kind == "signs":
        pooled = draft.signs.max_pool(draft, tensor, window, padding)
    else:
        pooled = _pool(draft, Builtin.MAX_POOL_2D, tensor, window, padding, output)
    shape = (channels, *output)
    draft.give(node.output, replace(x, tensor=pooled, shape=shape, map=shape))


def average_pool(draft: Draft, node: Node) -> None:
    """AVERAGE_POOL_2D: it does not count what SAME pads; zeros that count stand before it."""
    x = draft.value(node)
    window, size = _window(node, x), (x.shape[1], x.shape[2])
    output, tensor, padding = window.output(size), x.tensor, Padding.VALID
    if window.pads != NO_PADS and node.attributes.get("count_include_pad", 0):
        if node.attributes.get("ceil_mode", 0):
            raise UnsupportedError(f"{node.name} (AveragePool): expected ceil_mode = 0")
        tensor = arithmetic.pad(draft, tensor, window.pads)
    elif window.pads != NO_PADS and window.is_same(size):
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        raise UnsupportedError(
            f"{node.name} (AveragePool): expected pads as TFLite's SAME, got {window.pads}"
        )
    pooled = _pool(draft, Builtin.AVERAGE_POOL_2D, tensor, window, padding, output)
    shape = (x.shape[0], *output)
    draft.give(node.output, layout.real(x, pooled, shape=shape, map=shape))


def _pool(
    draft: Draft, code: Builtin, tensor: int, window: Window, padding: Padding, output: Pair
) -> int:
    shape = (draft.batch, *output, draft.shape(tensor)[3])
    return draft.emit(code, [tensor], shape, options=options.pool_2d(window, padding))


def _window(node: Node, x: Value) -> Window:
    """The window, with the pads behind the map that ceil_mode needs.

    Raises:
        UnsupportedError: It is dilated, or the input is no map.
    """
    window = conv_window(node, node.attributes["kernel_shape"])
    if window.dilations != (1, 1) or len(x.shape) != 3:
        raise UnsupportedError(f"{node.name} ({node.kind}): expected a map, and no dilation")
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
    """Pixels behind the padded span that a last, partial window needs.

    There is none where it would start behind the end of the map.
    """
    count = -(-(span - extent) // stride)
    return max(count * stride + extent - span, 0) if count * stride < end else 0
