"""Lowers Conv of real numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.sequences import of_height_one
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import convolution, layout
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.convolution import Taps
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue


def conv(builder: TfliteBuilder, node: Node) -> None:
    """Lower Conv to CONV_2D or DEPTHWISE_CONV_2D; that of a sequence, as a map of height 1."""
    x, weight = builder.value(node), builder.constant_of(node, 1)
    if x.kind == "real" and len(x.shape) == 2 and weight.ndim == 3:
        _conv_of_sequence(builder, node, x, weight)
        return
    if x.kind != "real" or len(x.shape) != 3:
        raise UnsupportedError(
            f"expected a map or a sequence of real numbers, got {x.kind} (N, *{x.shape})"
        )
    builder.give(node.output, _convolved(builder, node, x, weight))


def _conv_of_sequence(
    builder: TfliteBuilder, node: Node, x: TfliteValue, weight: NDArray[Any]
) -> None:
    """Lower a Conv of (N, C, L) with weights (O, I/G, K)."""
    channels, length = x.shape
    lifted = replace(node, attributes=of_height_one(node.attributes))
    source = layout.reshaped(builder, x, (channels, 1, length))
    y = _convolved(builder, lifted, source, weight[:, :, None])
    builder.give(node.output, layout.reshaped(builder, y, (y.shape[0], y.shape[2])))


def _convolved(
    builder: TfliteBuilder, node: Node, x: TfliteValue, weight: NDArray[Any]
) -> TfliteValue:
    """The result of a Conv of maps."""
    window = conv_window(node, weight.shape[2:])
    bias = np.zeros(len(weight), np.float32)
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = builder.constant_of(node, 2)
    n_groups = node.attributes.get("group", 1)
    taps = Taps.real(weight.transpose(0, 2, 3, 1), bias)
    tensor = convolution.convolve(builder, x.tensor, taps, window, n_groups)
    _, height, width = x.shape
    shape = (len(weight), *window.output((height, width)))
    return layout.real(x, tensor, shape=shape, map=shape, may_be_minus_zero=True)
