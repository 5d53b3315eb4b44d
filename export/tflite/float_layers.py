"""Lowers Conv of real numbers."""

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import convolution, layout
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.convolution import Taps
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder


def conv(builder: TfliteBuilder, node: Node) -> None:
    """Lower Conv of a map to CONV_2D or DEPTHWISE_CONV_2D."""
    x, weight = builder.value(node), builder.constant_of(node, 1)
    if x.kind != "real" or len(x.shape) != 3:
        raise UnsupportedError(f"expected a map of real numbers, got {x.kind} (N, *{x.shape})")
    window = conv_window(node, weight.shape[2:])
    bias = np.zeros(len(weight), np.float32)
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = builder.constant_of(node, 2)
    n_groups = node.attributes.get("group", 1)
    taps = Taps.real(weight.transpose(0, 2, 3, 1), bias)
    tensor = convolution.convolve(builder, x.tensor, taps, window, n_groups)
    _, height, width = x.shape
    shape = (len(weight), *window.output((height, width)))
    builder.give(
        node.output, layout.real(x, tensor, shape=shape, map=shape, may_be_minus_zero=True)
    )
