"""Translates LceBconv2d, the binary convolution of Larq Compute Engine.

Let K be the number of taps of an output, and popcount the number of signs that differ from the
weights. The exact sum is K - 2 * popcount. LCE clamps it by the activation, then scales it:

    y = -2 * popcount * multiplier + (bias + K * multiplier),

Each operation is rounded to float32, except that bias + K * multiplier is computed in float64. The
nodes repeat these operations one by one, so every engine gives LCE's bits.

References:
    https://docs.larq.dev/compute-engine/operators/ and the sources of version 0.16.0.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.lce_operators import input_signs, map_of
from bnnkit.runtime.from_tflite.numbers import activated, give_rounded, limits_of, scale_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import WORD_BITS, OnnxValue, Shape, n_words
from bnnkit.runtime.from_tflite.window import spend, window_on
from bnnkit.tflite.lce_options import LceBconv2dOptions
from bnnkit.tflite.network import Operator
from bnnkit.tflite.schema import Activation, TensorType
from bnnkit.tflite.window import Pads, Window

Array = NDArray[Any]

_ONE = 2
"""The code of the sign +1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layer:
    """A binary convolution.

    Attributes:
        weight: int8, (O, KH, KW, I / G), values in {-1, +1}.
        groups: G.
        window: With its pads.
        pad_value: What SAME pads with, 0 or 1.
        activation: Applied to the sums.
    """

    weight: NDArray[np.int8]
    groups: int
    window: Window
    pad_value: int
    activation: Activation

    @property
    def taps(self) -> int:
        """K, the number of products that an output sums up."""
        return prod(self.weight.shape[1:])


def bconv2d(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate LceBconv2d with float32, int8 or packed output."""
    value = input_signs(builder, operator)
    batch, height, width, _ = map_of(value)
    layer = _layer(builder, operator, value)
    spend(builder.budget, layer.window, value.shape, layer.weight.size // WORD_BITS)
    inputs, pads = [value.name], layer.window.pads
    if any(pads) and layer.pad_value == 1:
        inputs, pads = [_padded_with_ones(builder, value.name, pads)], (0, 0, 0, 0)
    attributes = {
        "strides": list(layer.window.strides),
        "pads": list(pads),
        "dilations": list(layer.window.dilations),
        "group": layer.groups,
        "weight_shape": list(layer.weight.shape),
    }
    inputs.append(builder.constant(pack_weight(layer.weight), np.uint8))
    shape = (batch, *layer.window.output((height, width)), len(layer.weight))
    if builder.tensor(operator.output).type == TensorType.INT32:
        inputs.append(builder.constant(_thresholds(builder, operator, layer), np.int32))
        name = builder.emit_binary("BinaryConv2dThreshold", inputs, **attributes)
        builder.give(operator.output, OnnxValue(name=name, kind="signs", shape=shape))
        return
    sums = builder.emit_binary("BinaryConv2d", inputs, **attributes)
    builder.note_shape(sums, shape, np.int32)
    _scaled(builder, operator, layer, sums, shape)


def _layer(builder: OnnxBuilder, operator: Operator, value: OnnxValue) -> _Layer:
    options = operator.options_as(LceBconv2dOptions)
    _, height, width, channels = map_of(value)
    words = builder.constant_of(operator, 1)
    if words.ndim != 4 or words.dtype != np.int32 or 0 in words.shape:
        raise ArtifactError(f"expected an int32 filter of four axes, got {words.shape}")
    if options.channels_in != channels:
        raise ArtifactError(f"expected {channels} input channels, got {options.channels_in}")
    if options.pad_values not in (0, 1):
        raise UnsupportedError(f"expected pad_values 0 or 1, got {options.pad_values}")
    outputs, rows, columns, depth = words.shape
    groups = n_words(channels) // depth
    inputs = channels // max(groups, 1)
    whole = groups == 1 or (groups and inputs % WORD_BITS == 0 and outputs % groups == 0)
    if not whole or groups * inputs != channels or n_words(inputs) != depth:
        raise ArtifactError(f"the filter {words.shape} does not fit {channels} input channels")
    return _Layer(
        weight=unpack_words(words, inputs),
        groups=groups,
        window=window_on(
            (height, width),
            kernel=(rows, columns),
            strides=(options.stride_height, options.stride_width),
            dilations=(options.dilation_height_factor, options.dilation_width_factor),
            padding=options.padding,
        ),
        pad_value=options.pad_values,
        activation=_clamp_of(options.fused_activation_function),
    )


def _clamp_of(activation: Activation) -> Activation:
    """Returns an activation unchanged if LCE can clamp sums by it.

    Raises:
        UnsupportedError: LCE cannot, as with TANH.
    """
    if activation != Activation.NONE:
        limits_of(activation)
    return activation


def _thresholds(builder: OnnxBuilder, operator: Operator, layer: _Layer) -> NDArray[np.int32]:
    """Thresholds on sums: popcount <= t  <=>  sum >= K - 2 t. The file's t may be any int32."""
    found = builder.constant_of(operator, 4)
    if found.shape != (len(layer.weight),) or found.dtype != np.int32:
        raise ArtifactError(f"expected a threshold for each of {len(layer.weight)} channels")
    taps = layer.taps
    return np.clip(taps - 2 * found.astype(np.int64), -taps, taps + 1).astype(np.int32)


def _scaled(
    builder: OnnxBuilder, operator: Operator, layer: _Layer, sums: str, shape: Shape
) -> None:
    """Apply the activation, the multiplier and the bias to the sums."""
    numbers = [builder.constant_of(operator, index) for index in (2, 3)]
    for array in numbers:
        if array.shape != (len(layer.weight),) or array.dtype != np.float32:
            raise ArtifactError(
                f"expected a number for each of {len(layer.weight)} channels, got {array.shape}"
            )
    multiplier, bias = (array.astype(np.float64) for array in numbers)
    bias = bias + layer.taps * multiplier
    tensor, zero_point = builder.tensor(operator.output), 0
    if tensor.type != TensorType.FLOAT32:
        scale, zero_point = scale_of(tensor)
        multiplier, bias = multiplier / scale, bias / scale + zero_point
    name = builder.emit("Cast", [sums], to=1)
    name = activated(builder, name, layer.activation)
    name = builder.emit("Add", [name, builder.constant(-layer.taps)])
    name = builder.emit("Mul", [name, builder.constant(_column(multiplier))])
    name = builder.emit("Add", [name, builder.constant(_column(bias))])
    if tensor.type == TensorType.FLOAT32:
        builder.give(operator.output, OnnxValue(name=name, kind="real", shape=shape))
        return
    centred = builder.emit("Sub", [name, builder.constant(zero_point)])
    give_rounded(builder, operator, centred, shape)


def _padded_with_ones(builder: OnnxBuilder, name: str, pads: Pads) -> str:
    top, left, bottom, right = pads
    widths = builder.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return builder.emit("Pad", [name, widths, builder.constant(_ONE, np.uint8)])


def _column(numbers: Array) -> NDArray[np.float32]:
    """Numbers (O,) as (O, 1, 1), one for each channel of a map."""
    return numbers.astype(np.float32)[:, None, None]


def unpack_words(words: NDArray[np.int32], channels: int) -> NDArray[np.int8]:
    """Unpack signs from words of 32 bits along the last axis; int8, (..., channels)."""
    as_bytes = np.ascontiguousarray(words.astype("<i4", copy=False)).view(np.uint8)
    bits = np.unpackbits(as_bytes, axis=-1, count=channels, bitorder="little")
    signs: NDArray[np.int8] = 1 - 2 * bits.astype(np.int8)
    return signs
