"""Translates TRANSPOSE_CONV to a convolution of a map with zeros between its pixels.

    out[o] = sum over k of in[y] weight[k], where y stride + k - before = o.

So it is a convolution, with the kernel reversed, of the map in which pixel y is at y stride. The
file states the shape of the result, from which the padding follows as in TensorFlow Lite.
"""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError
from bnnkit.runtime.from_tflite.layers import bias_of, give_sums, layer_input, weight_of
from bnnkit.runtime.from_tflite.lce_operators import map_of
from bnnkit.runtime.from_tflite.numbers import halves_away
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import OnnxValue, Shape
from bnnkit.runtime.from_tflite.window import window_on
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import TransposeConvOptions
from bnnkit.tflite.window import Window

Array = NDArray[Any]


def transpose_conv(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate TRANSPOSE_CONV; inputs: output shape, filter (O, KH, KW, I), map, and bias."""
    # Other layers have the inputs map, filter and bias.
    places = operator.inputs
    layer = replace(operator, inputs=(*places[2:3], *places[1:2], *places[3:4]))
    options, value = operator.options_as(TransposeConvOptions), layer_input(builder, layer)
    weight, scales = weight_of(builder, layer, 0, rank=4)
    target = builder.tensor(operator.output).shape
    window = _window(options, value, weight, target)
    builder.budget.spend_work(target[1] * target[2] * weight.size)
    name, pads = _upsampled(builder, value, window, target)
    inputs = [name, builder.constant(weight[:, ::-1, ::-1].transpose(0, 3, 1, 2))]
    bias = bias_of(builder, layer, len(weight))
    if bias is not None:
        inputs.append(builder.constant(bias))
    name = builder.emit(
        "Conv",
        inputs,
        kernel_shape=list(window.kernel),
        strides=[1, 1],
        pads=pads,
        dilations=[1, 1],
        group=1,
    )
    activation = options.fused_activation_function
    give_sums(builder, operator, name, target, activation, value, scales, halves_away)


def _window(
    options: TransposeConvOptions, value: OnnxValue, weight: Array, target: Shape
) -> Window:
    """The window of the convolution that maps the result (N, H, W, O) to the input.

    Raises:
        ArtifactError: The shapes do not fit each other.
    """
    batch, height, width, channels = map_of(value)
    if weight.shape[3] != channels:
        raise ArtifactError(f"the filter {weight.shape} does not fit {channels} input channels")
    if len(target) != 4 or target[0] != batch or target[3] != len(weight):
        raise ArtifactError(f"expected {len(weight)} channels, the file says {target}")
    if min(target) < 1:
        raise ArtifactError(f"the map {(height, width)} does not become {target[1:3]}")
    size = (target[1], target[2])
    window = window_on(
        size,
        kernel=(weight.shape[1], weight.shape[2]),
        strides=(options.stride_h, options.stride_w),
        padding=options.padding,
    )
    if window.output(size) != (height, width):
        raise ArtifactError(f"the map {(height, width)} does not become {size}")
    return window


def _upsampled(
    builder: OnnxBuilder, value: OnnxValue, window: Window, target: Shape
) -> tuple[str, list[int]]:
    """Name of the input with zeros between its pixels, and the pads of the convolution of it."""
    _, height, width, channels = map_of(value)
    name = _interleaved(builder, value.name, (channels, height, width), window.strides)
    size = [height * window.strides[0], width * window.strides[1]]
    before = [kernel - 1 - pad for kernel, pad in zip(window.kernel, window.pads[:2], strict=True)]
    padded = [target[1 + i] + window.kernel[i] - 1 for i in range(2)]
    after = [padded[i] - size[i] - before[i] for i in range(2)]
    builder.budget.spend_values(channels * prod(padded), 2)
    if min(after) < 0:
        ends = [size[i] + min(after[i], 0) for i in range(2)]
        cut = [builder.constant(numbers, np.int64) for numbers in ([0, 0], ends, [2, 3])]
        name = builder.emit("Slice", [name, *cut])
    return name, [*before, *(max(more, 0) for more in after)]


def _interleaved(
    builder: OnnxBuilder, name: str, shape: tuple[int, int, int], strides: tuple[int, int]
) -> str:
    """A map (N, C, H, W) with zeros after each pixel, below and to the right."""
    if strides == (1, 1):
        return name
    channels, height, width = shape
    vertical, horizontal = strides
    builder.budget.spend_values(channels * height * width * vertical * horizontal, 3)
    apart = builder.constant([0, channels, height, 1, width, 1], np.int64)
    widths = builder.constant([0] * 9 + [vertical - 1, 0, horizontal - 1], np.int64)
    whole = builder.constant([0, channels, height * vertical, width * horizontal], np.int64)
    name = builder.emit("Reshape", [name, apart])
    name = builder.emit("Pad", [name, widths, builder.constant(0.0)])
    return builder.emit("Reshape", [name, whole])
