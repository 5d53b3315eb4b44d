"""Emits convolutions of float32 maps, or of int8 maps with the scale 1, by builtins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.options import Conv2DOptions, DepthwiseConv2DOptions
from bnnkit.tflite.schema import Activation, Builtin, Padding
from bnnkit.tflite.window import NO_PADS, Window


@dataclass(frozen=True, eq=False)
class Taps:
    """The constants of a convolution.

    Attributes:
        weight: float32 or int8, (O, KH, KW, I / groups); int8 is stored as it is, and a DEQUANTIZE
            follows if the map is float32.
        bias: (O,), float32 for maps of float32, int32 for maps of int8.
        activation: Applied to the result.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    activation: Activation = Activation.NONE

    @classmethod
    def real(cls, weight: NDArray[Any], bias: NDArray[Any]) -> Self:
        """Weight and bias as float32."""
        return cls(weight.astype(np.float32), bias.astype(np.float32))

    def part(self, channels: slice) -> Self:
        """The constants of some of the output channels."""
        return type(self)(self.weight[channels], self.bias[channels], self.activation)


def convolve(
    builder: TfliteBuilder, tensor: int, taps: Taps, window: Window, n_groups: int
) -> int:
    """Emit CONV_2D or DEPTHWISE_CONV_2D, after a PAD if TFLite's padding is not the same.

    XNNPACK gives wrong results with SAME if a window is smaller than the stride.

    Args:
        builder: Gets the operators.
        tensor: (N, H, W, I), float32 or int8; the result is of the same type.
        taps: Weight, bias and activation.
        window: Its pads are zeros.
        n_groups: Groups of input and of output channels.
    """
    _, height, width, channels = builder.shape(tensor)
    padding = Padding.VALID
    if window.pads != NO_PADS and window.is_same((height, width)) and not window.has_gaps:
        padding = Padding.SAME
    elif window.pads != NO_PADS:
        tensor = arithmetic.pad(builder, tensor, window.pads)
        window = window.with_pads(NO_PADS)
    if 1 < n_groups < channels:
        return _group_by_group(builder, tensor, taps, window, padding, n_groups)
    return _emit(builder, tensor, taps, window, padding, is_depthwise=n_groups > 1)


def _emit(
    builder: TfliteBuilder,
    tensor: int,
    taps: Taps,
    window: Window,
    padding: Padding,
    *,
    is_depthwise: bool,
) -> int:
    batch, height, width, channels = builder.shape(tensor)
    shape = (batch, *window.output((height, width)), len(taps.weight))
    weight, code = taps.weight, Builtin.CONV_2D
    options: Conv2DOptions | DepthwiseConv2DOptions = _options(taps, window, padding)
    if is_depthwise:
        weight, code = weight.transpose(3, 1, 2, 0), Builtin.DEPTHWISE_CONV_2D
        options = _depthwise_options(taps, window, padding, len(taps.weight) // channels)
    kind = builder.type(tensor)
    stored = builder.constant(weight)
    if builder.type(stored) is not kind:
        stored = builder.emit(Builtin.DEQUANTIZE, [stored], weight.shape)
    inputs = [tensor, stored, builder.constant(taps.bias, has_scale=taps.bias.dtype == np.int32)]
    return builder.emit(code, inputs, shape, kind=kind, options=options)


def _options(taps: Taps, window: Window, padding: Padding) -> Conv2DOptions:
    return Conv2DOptions(
        padding=padding,
        stride_w=window.strides[1],
        stride_h=window.strides[0],
        fused_activation_function=taps.activation,
        dilation_w_factor=window.dilations[1],
        dilation_h_factor=window.dilations[0],
    )


def _depthwise_options(
    taps: Taps, window: Window, padding: Padding, multiplier: int
) -> DepthwiseConv2DOptions:
    """Options of a layer with `multiplier` outputs for each input."""
    return DepthwiseConv2DOptions(
        padding=padding,
        stride_w=window.strides[1],
        stride_h=window.strides[0],
        depth_multiplier=multiplier,
        fused_activation_function=taps.activation,
        dilation_w_factor=window.dilations[1],
        dilation_h_factor=window.dilations[0],
    )


def _group_by_group(
    builder: TfliteBuilder,
    tensor: int,
    taps: Taps,
    window: Window,
    padding: Padding,
    n_groups: int,
) -> int:
    """Emit a CONV_2D for each group, because not every interpreter has one with groups."""
    inputs, outputs = taps.weight.shape[-1], len(taps.weight) // n_groups
    parts = []
    for group in range(n_groups):
        part = arithmetic.slice_channels(builder, tensor, group * inputs, (group + 1) * inputs)
        mine = taps.part(slice(group * outputs, (group + 1) * outputs))
        parts.append(_emit(builder, part, mine, window, padding, is_depthwise=False))
    return arithmetic.concatenate(builder, parts, axis=3)
