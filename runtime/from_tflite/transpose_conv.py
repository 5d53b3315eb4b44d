"""Translates TRANSPOSE_CONV to a convolution of a map with zeros between its pixels.

    out[o] = sum over k of in[y] weight[k], where y stride + k - before = o.

So it is a convolution, with the kernel reversed, of the map in which pixel y is at y stride. The
file states the shape of the result, from which the padding follows as in TensorFlow Lite.
"""

from dataclasses import replace
from math import prod

import numpy as np

from bnnkit.errors import ArtifactError
from bnnkit.runtime.from_tflite.layers import bias_of, give_sums, layer_input, weight_of
from bnnkit.runtime.from_tflite.lce_operators import map_of
from bnnkit.runtime.from_tflite.numbers import halves_away
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.window import window_on
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import TransposeConvOptions


def transpose_conv(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate TRANSPOSE_CONV; inputs: output shape, filter (O, KH, KW, I), map, and bias."""
    # Other layers have the inputs map, filter and bias.
    places = operator.inputs
    layer = replace(operator, inputs=(*places[2:3], *places[1:2], *places[3:4]))
    options, value = operator.options_as(TransposeConvOptions), layer_input(builder, layer)
    weight, scales = weight_of(builder, layer, 0, rank=4)
    batch, height, width, channels = map_of(value)
    if weight.shape[3] != channels:
        raise ArtifactError(f"the filter {weight.shape} does not fit {channels} input channels")
    outputs = weight.shape[0]
    target = builder.tensor(operator.output).shape
    if len(target) != 4 or target[0] != batch or target[3] != outputs:
        raise ArtifactError(f"expected {outputs} channels, the file says {target}")
    if min(target) < 1:
        raise ArtifactError(f"the map {(height, width)} does not become {target[1:3]}")
    window = window_on(
        (target[1], target[2]),
        kernel=(weight.shape[1], weight.shape[2]),
        strides=(options.stride_h, options.stride_w),
        padding=options.padding,
    )
    if window.output((target[1], target[2])) != (height, width):
        raise ArtifactError(f"the map {(height, width)} does not become {target[1:3]}")
    builder.budget.spend_work(target[1] * target[2] * weight.size)
    name = _interleaved(builder, value.name, (channels, height, width), window.strides)
    spread = [height * window.strides[0], width * window.strides[1]]
    pads = window.pads
    before = [kernel - 1 - pad for kernel, pad in zip(window.kernel, pads[:2], strict=True)]
    padded = [target[1 + i] + window.kernel[i] - 1 for i in range(2)]
    after = [padded[i] - spread[i] - before[i] for i in range(2)]
    builder.budget.spend_values(channels * prod(padded), 2)
    if min(after) < 0:
        ends = [spread[i] + min(after[i], 0) for i in range(2)]
        cut = [builder.constant(numbers, np.int64) for numbers in ([0, 0], ends, [2, 3])]
        name = builder.emit("Slice", [name, *cut])
    flipped = weight[:, ::-1, ::-1].transpose(0, 3, 1, 2)
    bias = bias_of(builder, layer, outputs)
    name = builder.emit(
        "Conv",
        [name, builder.constant(flipped), *([] if bias is None else [builder.constant(bias)])],
        kernel_shape=list(window.kernel),
        strides=[1, 1],
        pads=[*before, *(max(more, 0) for more in after)],
        dilations=[1, 1],
        group=1,
    )
    give_sums(
        builder,
        operator,
        name,
        target,
        options.fused_activation_function,
        value,
        scales,
        halves_away,
    )


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
