"""Translates CONV_2D and DEPTHWISE_CONV_2D."""

from typing import Any

from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.layers import bias_of, give_sums, layer_input, weight_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.window import attributes, spend, window_on
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import Conv2DOptions, DepthwiseConv2DOptions

Array = NDArray[Any]


def conv_2d(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate CONV_2D with the filter (O, KH, KW, I / G)."""
    weight, scales = weight_of(builder, operator, 0, rank=4)
    _convolution(builder, operator, weight, scales, operator.options_as(Conv2DOptions))


def depthwise_conv_2d(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate DEPTHWISE_CONV_2D; filter (1, KH, KW, O), output o has the input o div (O / I)."""
    weight, scales = weight_of(builder, operator, 3, rank=4)
    if weight.shape[0] != 1:
        raise ArtifactError(f"expected a filter (1, KH, KW, O), got {weight.shape}")
    weight = weight.transpose(3, 1, 2, 0)
    _convolution(builder, operator, weight, scales, operator.options_as(DepthwiseConv2DOptions))


def _convolution(
    builder: OnnxBuilder,
    operator: Operator,
    weight: Array,
    scales: Array,
    options: Conv2DOptions | DepthwiseConv2DOptions,
) -> None:
    """Emit a convolution with weights (O, KH, KW, I / G)."""
    value = layer_input(builder, operator)
    if len(value.shape) != 4:
        raise UnsupportedError(f"expected a map (N, H, W, C), got the shape {value.shape}")
    batch, height, width, channels = value.shape
    outputs, rows, columns, inputs = weight.shape
    groups = channels // inputs
    if groups < 1 or groups * inputs != channels or outputs % groups:
        raise ArtifactError(f"the filter {weight.shape} does not fit {channels} input channels")
    dilations = (options.dilation_h_factor, options.dilation_w_factor)
    window = window_on(
        (height, width),
        kernel=(rows, columns),
        strides=(options.stride_h, options.stride_w),
        dilations=dilations,
        padding=options.padding,
    )
    spend(builder.budget, window, value.shape, weight.size)
    constant = builder.constant(weight.transpose(0, 3, 1, 2))
    bias = bias_of(builder, operator, outputs)
    name = builder.emit(
        "Conv",
        [value.name, constant, *([] if bias is None else [builder.constant(bias)])],
        **attributes(window),
        dilations=list(dilations),
        group=groups,
    )
    shape = (batch, *window.output((height, width)), outputs)
    give_sums(builder, operator, name, shape, options.fused_activation_function, value, scales)
