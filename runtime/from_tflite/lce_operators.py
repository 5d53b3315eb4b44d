"""Translates the operators of Larq Compute Engine, except for the convolution (bconv2d.py).

References:
    https://docs.larq.dev/compute-engine/operators/ and the sources of version 0.16.0.
"""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.numbers import give_rounded, scale_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import OnnxValue, axis_of, n_words
from bnnkit.runtime.from_tflite.window import POOLED, attributes, spend, window_on
from bnnkit.tflite.lce_options import LceBMaxPool2dOptions
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import TensorType

Array = NDArray[Any]


def quantize(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LceQuantize: signs of numbers, +1 if x >= 0, or of bools, +1 if true."""
    value = builder.value(operator)
    if value.kind == "plain":
        raise UnsupportedError("expected float32, int8 with a scale, or bool")
    name = value.name
    if value.kind != "signs":
        name = builder.emit_binary("Sign", [value.name])
    elif builder.tensor(operator.inputs[0]).type != TensorType.BOOL:
        raise UnsupportedError("expected numbers, got packed signs")
    else:
        name = builder.emit("Identity", [name])
    builder.give(operator.output, OnnxValue(name=name, kind="signs", shape=value.shape))


def dequantize(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LceDequantize: signs as -1 and +1, with the channels that the output has."""
    value = input_signs(builder, operator)
    tensor = builder.tensor(operator.output)
    channels = tensor.shape[-1] if tensor.shape else 0
    if channels > 0 and n_words(channels) == n_words(value.shape[-1]):
        value = with_channels(builder, value, channels)
    if tensor.type == TensorType.BOOL:
        name = builder.emit("Identity", [value.name])
        builder.give(operator.output, OnnxValue(name=name, kind="signs", shape=value.shape))
        return
    numbers = as_real(builder, value)
    if tensor.type == TensorType.FLOAT32:
        builder.give(operator.output, OnnxValue(name=numbers, kind="real", shape=value.shape))
        return
    scale, _ = scale_of(tensor)
    steps = builder.emit("Div", [numbers, builder.constant(scale)])
    give_rounded(builder, operator, steps, value.shape)


def with_channels(builder: OnnxBuilder, value: OnnxValue, channels: int) -> OnnxValue:
    """Signs with another number of channels in the same words; unused bits are +1."""
    rank, given = len(value.shape), value.shape[-1]
    if channels == given:
        return value
    axis = axis_of(-1, rank)
    if channels > given:
        widths = np.zeros((2, rank), np.int64)
        widths[1, axis] = channels - given
        inputs = [
            value.name,
            builder.constant(widths.ravel(), np.int64),
            builder.constant(2, np.uint8),
        ]
        name = builder.emit("Pad", inputs)
    else:
        numbers = [builder.constant([n], np.int64) for n in (0, channels, axis)]
        name = builder.emit("Slice", [value.name, *numbers])
    return replace(value, name=name, shape=(*value.shape[:-1], channels))


def as_real(builder: OnnxBuilder, value: OnnxValue) -> str:
    """Name of signs as the numbers -1.0 and +1.0."""
    one = builder.constant(1.0), builder.constant(1, np.uint8)
    return builder.emit("DequantizeLinear", [value.name, *one])


def max_pool(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LceBMaxPool2d: maxima of signs, in windows that SAME clips at the border."""
    value = input_signs(builder, operator)
    options = operator.options_as(LceBMaxPool2dOptions)
    batch, height, width, channels = map_of(value)
    window = window_on(
        (height, width),
        kernel=(options.filter_height, options.filter_width),
        strides=(options.stride_height, options.stride_width),
        padding=options.padding,
    )
    spend(builder.budget, window, value.shape, POOLED * channels * prod(window.kernel))
    name = builder.emit("MaxPool", [value.name], **attributes(window))
    shape = (batch, *window.output((height, width)), channels)
    builder.give(operator.output, OnnxValue(name=name, kind="signs", shape=shape))


def input_signs(builder: OnnxBuilder, operator: Operator) -> OnnxValue:
    """The first input of an operator on signs, or on bools, which are stored as signs.

    Raises:
        UnsupportedError: The input is of another kind.
    """
    value = builder.value(operator)
    if value.kind != "signs":
        raise UnsupportedError("expected packed signs that LceQuantize or LceBconv2d has made")
    return value


def map_of(value: OnnxValue) -> tuple[int, int, int, int]:
    """Batch, height, width and channels of a map.

    Raises:
        UnsupportedError: The value is not a map.
    """
    if len(value.shape) != 4:
        raise UnsupportedError(f"expected a map (N, H, W, C), got the shape {value.shape}")
    batch, height, width, channels = value.shape
    return batch, height, width, channels
