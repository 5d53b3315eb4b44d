"""IntegerConv2d and IntegerLinear: the first layer, in float32 that holds its integers exactly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import float_convolution
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.source import Node

_EXACT = 2**24
"""Integers up to it are float32 numbers."""


def integer_conv2d(draft: Draft, node: Node) -> None:
    """CAST, SUB of the zero point, CONV_2D: pixels that equal the zero point pad with zeros."""
    x, weight = draft.value(node), draft.constant_of(node, 1)
    window = conv_window(node, weight.shape[2:])
    pixels = _centred(draft, node, x)
    n_groups = node.attributes.get("group", 1)
    limits = np.tile(_limits(draft, node).reshape(n_groups, -1), (1, len(weight) // n_groups))
    bounds = np.abs(weight.astype(np.int64)).sum(axis=(2, 3)).reshape(len(weight), -1)
    bound = (bounds * limits.reshape(bounds.shape)).sum(axis=1)
    _, height, width = x.shape
    shape = (len(weight), *window.output((height, width)))
    kernel = weight.transpose(0, 2, 3, 1)

    def layer(bias: NDArray[Any]) -> int:
        return float_convolution.convolve(draft, pixels, kernel, bias, window, n_groups)

    _give(draft, node, layer, bound, shape, shape)


def integer_linear(draft: Draft, node: Node) -> None:
    """CAST, SUB of the zero point, FULLY_CONNECTED."""
    x, weight = draft.value(node), draft.constant_of(node, 1)
    pixels = _centred(draft, node, x)
    bound = (np.abs(weight.astype(np.int64)) * _limits(draft, node)).sum(axis=1)
    columns = in_order_of(x, weight).astype(np.float32)

    def layer(bias: NDArray[Any]) -> int:
        return fully_connected(draft, pixels, columns, bias)

    _give(draft, node, layer, bound, (len(weight),), None)
