"""Translates FULLY_CONNECTED."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.layers import bias_of, give_sums, layer_input, weight_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import OnnxValue, Shape
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import FullyConnectedOptions
from bnnkit.tflite.schema import WeightsFormat

Array = NDArray[Any]


def fully_connected(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate FULLY_CONNECTED with weights (O, I), on vectors or on each pixel of a map."""
    options = operator.options_as(FullyConnectedOptions)
    if options.weights_format is not WeightsFormat.DEFAULT:
        raise UnsupportedError("expected weights in the default format")
    value = layer_input(builder, operator)
    weight, scales = weight_of(builder, operator, 0, rank=2)
    outputs, inputs = weight.shape
    bias = bias_of(builder, operator, outputs)
    bias = np.zeros(outputs, np.float32) if bias is None else bias
    keeps = options.keep_num_dims
    if value.is_map and value.shape[3] == inputs and prod(value.shape[1:3]) > 1:
        name, shape = _on_pixels(builder, value, weight, bias, keeps_axes=keeps)
    elif len(value.shape) == 3 and value.shape[2] == inputs and value.shape[1] > 1:
        name, shape = _on_vectors(builder, value, weight, bias, keeps_axes=keeps)
    else:
        name, shape = _on_whole_values(builder, value, weight, bias, keeps_axes=keeps)
    give_sums(builder, operator, name, shape, options.fused_activation_function, value, scales)


def _on_pixels(
    builder: OnnxBuilder, value: OnnxValue, weight: Array, bias: Array, *, keeps_axes: bool
) -> tuple[str, Shape]:
    """Name and shape of the sums for each pixel of a map (N, H, W, I)."""
    if not keeps_axes:
        raise UnsupportedError(f"the input {value.shape} would mix pixels with the batch")
    builder.budget.spend_work(prod(value.shape[1:3]) * weight.size)
    kernel = builder.constant(weight[:, :, None, None])
    name = builder.emit("Conv", [value.name, kernel, builder.constant(bias)])
    return name, (*value.shape[:3], len(weight))


def _on_vectors(
    builder: OnnxBuilder, value: OnnxValue, weight: Array, bias: Array, *, keeps_axes: bool
) -> tuple[str, Shape]:
    """Name and shape of the sums for each vector of a sequence (N, T, I)."""
    if not keeps_axes:
        raise UnsupportedError(f"the input {value.shape} would mix vectors with the batch")
    builder.budget.spend_work(value.shape[1] * weight.size)
    name = builder.emit("MatMul", [value.name, builder.constant(weight.T)])
    name = builder.emit("Add", [name, builder.constant(bias)])
    return name, (*value.shape[:2], len(weight))


def _on_whole_values(
    builder: OnnxBuilder, value: OnnxValue, weight: Array, bias: Array, *, keeps_axes: bool
) -> tuple[str, Shape]:
    """Name and shape of the sums for the flattened input of each image."""
    if prod(value.shape[1:]) != weight.shape[1]:
        raise UnsupportedError(f"weights {weight.shape} do not fit the input {value.shape}")
    ones = (1,) * (len(value.shape) - 2) if keeps_axes else ()
    flat = builder.emit("Flatten", [builder.in_file_order(value)])
    name = builder.emit("Gemm", [flat, builder.constant(weight), builder.constant(bias)], transB=1)
    if ones:
        axes = builder.constant(np.arange(len(ones)) + 2, np.int64)
        name = builder.emit("Unsqueeze", [name, axes])
        if len(ones) == 1:
            name = builder.emit("Transpose", [name], perm=[0, 2, 1])
    return name, (value.shape[0], *ones, len(weight))
