"""Converts between numbers of the file, real or quantized, and numbers of the artifact.

A quantized tensor is stored as float32 numbers, its integers minus the zero point. So sums of
products are exact below 2^24, and every rounding is explicit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import OnnxValue, Shape
from bnnkit.tflite.network import Operator, Tensor
from bnnkit.tflite.schema import DTYPES, Activation, TensorType

Array = NDArray[Any]

QUANTIZED = (TensorType.INT8, TensorType.UINT8, TensorType.INT16)
_AWAY_FROM_ZERO = 1 + 2.0**-23
"""Factor that moves numbers halfway between two integers just past the middle, away from zero."""

_LIMITS = {Activation.RELU: (0, None), Activation.RELU_N1_TO_1: (-1, 1), Activation.RELU6: (0, 6)}


def real(builder: OnnxBuilder, value: OnnxValue) -> str:
    """Name of the value as real numbers.

    Raises:
        UnsupportedError: The value is signs, or integers without a scale.
    """
    if value.kind == "quantized":
        return builder.emit("Mul", [value.name, builder.constant(value.scale)])
    if value.kind != "real":
        raise UnsupportedError(f"expected float32, or integers with a scale, got {value.kind}")
    return value.name


def vectors_of(builder: OnnxBuilder, operator: Operator) -> OnnxValue:
    """The first input of an operator on the last axis, which must not be the batch.

    Raises:
        UnsupportedError: The input has no axis other than the batch.
    """
    value = builder.value(operator)
    if len(value.shape) < 2:
        raise UnsupportedError(
            f"expected an axis other than the batch, got the shape {value.shape}"
        )
    return value


def real_constant(builder: OnnxBuilder, place: int) -> NDArray[np.float32]:
    """A constant tensor as real numbers.

    Raises:
        UnsupportedError: It consists of integers without a scale.
    """
    array, quantization = builder.array(place), builder.tensor(place).quantization
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if quantization is None:
        raise UnsupportedError(f"the constant {builder.tensor(place).name!r} has no scale")
    sizes = [1] * array.ndim
    scale, zero_point = np.array(quantization.scale), np.array(quantization.zero_point)
    if scale.size > 1:
        sizes[quantization.axis] = -1
    zero_point = np.broadcast_to(zero_point, scale.shape)
    centred = array.astype(np.float64) - zero_point.reshape(sizes)
    numbers: NDArray[np.float64] = centred * scale.reshape(sizes)
    return numbers.astype(np.float32)


def for_one_image(array: Array) -> Array:
    """A constant (N, ...) as (1, ...), because the batch is free.

    Raises:
        UnsupportedError: It differs between the images of the batch.
    """
    if array.ndim == 0 or len(array) < 2:
        return array
    if (array != array[:1]).any():
        raise UnsupportedError("expected a constant that is the same for each image of the batch")
    return array[:1]


def activated(builder: OnnxBuilder, name: str, activation: Activation) -> str:
    """Apply a fused activation to real numbers.

    Raises:
        UnsupportedError: bnnkit lacks this activation.
    """
    if activation == Activation.NONE:
        return name
    if activation == Activation.TANH:
        return builder.emit("Tanh", [name])
    low, high = limits_of(activation)
    if high is None:
        return builder.emit("Relu", [name])
    return builder.emit("Clip", [name, builder.constant(low), builder.constant(high)])


def limits_of(activation: Activation) -> tuple[float, float | None]:
    """Lower and upper limit of an activation that clips; None is no limit.

    Raises:
        UnsupportedError: The activation does not clip.
    """
    if activation not in _LIMITS:
        raise UnsupportedError(f"unknown fused activation {activation.name}")
    return _LIMITS[activation]


def give_real(
    builder: OnnxBuilder,
    operator: Operator,
    name: str,
    shape: Shape,
    activation: Activation = Activation.NONE,
) -> None:
    """Make real numbers an operator's output, quantized if the tensor is.

    Raises:
        UnsupportedError: The tensor is neither float32 nor quantized.
    """
    tensor = builder.tensor(operator.output)
    name = activated(builder, name, activation)
    if tensor.type == TensorType.FLOAT32:
        builder.give(operator.output, OnnxValue(name=name, kind="real", shape=shape))
        return
    scale, _ = scale_of(tensor)
    divided = builder.emit("Div", [name, builder.constant(scale)])
    give_rounded(builder, operator, divided, shape)


def check_moved(builder: OnnxBuilder, place: int, output: int) -> None:
    """Check that elements of one tensor mean the same in another.

    Raises:
        UnsupportedError: The tensors have different types or scales.
    """
    source, target = (builder.tensor(index) for index in (place, output))
    if source.type != target.type:
        raise UnsupportedError(f"expected a result of {source.type.name}, got {target.type.name}")
    is_quantized = builder.value_of(place).kind == "quantized"
    if is_quantized and source.quantization != target.quantization:
        raise UnsupportedError("expected input and output of the same scale")


def give_moved(builder: OnnxBuilder, place: int, output: int, value: OnnxValue) -> None:
    """Make a value whose elements were only moved an operator's output.

    Args:
        builder: Gets the value.
        place: The tensor whose elements were moved.
        output: The tensor that the value becomes.
        value: The moved elements.

    Raises:
        UnsupportedError: The output has another type or scale than the input.
    """
    check_moved(builder, place, output)
    builder.give(output, value)


def give_rounded(
    builder: OnnxBuilder,
    operator: Operator,
    name: str,
    shape: Shape,
    clip: tuple[float, float] | None = None,
) -> None:
    """Round numbers to an operator's quantized output, and clip them to the range of its type.

    Args:
        builder: Gets the nodes.
        operator: The operator.
        name: Numbers in units of the output's scale, without the zero point. Halves are rounded
            away from zero.
        shape: Shape of the output.
        clip: Limits of an activation in the same units.
    """
    give_whole(builder, operator, halves_away(builder, name), shape, clip)


def halves_up(builder: OnnxBuilder, name: str) -> str:
    """Round to integers, halves up."""
    return builder.emit("Floor", [builder.emit("Add", [name, builder.constant(0.5)])])


def halves_away(builder: OnnxBuilder, name: str) -> str:
    """Round to integers, halves away from zero."""
    return builder.emit("Round", [builder.emit("Mul", [name, builder.constant(_AWAY_FROM_ZERO)])])


def give_whole(
    builder: OnnxBuilder,
    operator: Operator,
    name: str,
    shape: Shape,
    clip: tuple[float, float] | None = None,
) -> None:
    """Make integers an operator's quantized output; arguments as for `give_rounded`."""
    tensor = builder.tensor(operator.output)
    scale, zero_point = scale_of(tensor)
    bounds = np.iinfo(DTYPES[tensor.type])
    low, high = float(bounds.min - zero_point), float(bounds.max - zero_point)
    if clip is not None:
        low, high = max(low, clip[0]), min(high, clip[1])
    clipped = builder.emit("Clip", [name, builder.constant(low), builder.constant(high)])
    value = OnnxValue(name=clipped, kind="quantized", shape=shape, scale=scale)
    builder.give(operator.output, value)


def fixed_point(builder: OnnxBuilder, name: str, factor: float) -> str:
    """Multiply integers by a factor as TensorFlow Lite does; the result is still to be rounded.

    The factor is m 2^e with m in [1/2, 1). The product with m is rounded before it is shifted by
    e, so the result is rounded twice. This matters if e is small, as in a mean.
    """
    mantissa, exponent = np.frexp(factor)
    product = builder.emit("Mul", [name, builder.constant(mantissa)])
    rounded = halves_away(builder, product)
    return builder.emit("Mul", [rounded, builder.constant(np.ldexp(1.0, int(exponent)))])


def scale_of(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of a quantized tensor.

    Raises:
        UnsupportedError: The tensor is not quantized, or has a scale for each channel.
    """
    found = tensor.quantization
    if tensor.type not in QUANTIZED or found is None or len(found.scale) != 1:
        raise UnsupportedError(
            f"the tensor {tensor.name!r} is {tensor.type.name}, expected float32, or integers"
            " of at most 16 bits with one scale"
        )
    return found.scale[0], found.zero_point[0]
