"""Numbers of the file, float or quantized, as real numbers, and back.

A quantized tensor is held as float32 that are whole numbers less the zero point, so sums of
products are exact below 2^24, and what is rounded is rounded once.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.values import Shape, Value
from bnnkit.tflite.network import DTYPES, Operator, Tensor
from bnnkit.tflite.schema import Activation, TensorType

Array = NDArray[Any]

QUANTIZED = (TensorType.INT8, TensorType.UINT8, TensorType.INT16)
_AWAY_FROM_ZERO = 1 + 2.0**-23
"""Times a number that lies halfway between two whole ones, the one further from zero is nearer."""

_LIMITS = {Activation.RELU: (0, None), Activation.RELU_N1_TO_1: (-1, 1), Activation.RELU6: (0, 6)}


def real(draft: Draft, value: Value) -> str:
    """The name of the numbers as float32.

    Raises:
        UnsupportedError: They are signs, or whole numbers without a scale.
    """
    if value.kind == "quantized":
        return draft.emit("Mul", [value.name, draft.constant(value.scale)])
    if value.kind != "real":
        raise UnsupportedError(f"expected numbers with a meaning, got {value.kind}")
    return value.name


def vectors_of(draft: Draft, operator: Operator) -> Value:
    """The first input, whose last axis is not the batch.

    Raises:
        UnsupportedError: It is.
    """
    value = draft.value(operator)
    if len(value.shape) < 2:
        raise UnsupportedError(f"expected an axis behind the batch, got the shape {value.shape}")
    return value


def real_constant(draft: Draft, place: int) -> NDArray[np.float32]:
    """A constant tensor as real numbers, float32."""
    array, quantization = draft.array(place), draft.tensor(place).quantization
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    if quantization is None:
        raise UnsupportedError(f"the constant {draft.tensor(place).name!r} has no scale")
    sizes = [1] * array.ndim
    if quantization.scale.size > 1:
        sizes[quantization.axis] = -1
    zero_point = np.broadcast_to(quantization.zero_point, quantization.scale.shape)
    centred = array.astype(np.float64) - zero_point.reshape(sizes)
    numbers: NDArray[np.float64] = centred * quantization.scale.reshape(sizes)
    return numbers.astype(np.float32)


def for_one_image(array: Array) -> Array:
    """A constant (N, ...) as (1, ...): the batch is free.

    Raises:
        UnsupportedError: It is another for each image.
    """
    if array.ndim == 0 or len(array) < 2:
        return array
    if (array != array[:1]).any():
        raise UnsupportedError("expected a constant that is the same for each image of the batch")
    return array[:1]


def activated(draft: Draft, name: str, activation: int) -> str:
    """What a fused activation makes of real numbers.

    Raises:
        UnsupportedError: It is not known.
    """
    if activation == Activation.NONE:
        return name
    if activation == Activation.TANH:
        return draft.emit("Tanh", [name])
    low, high = limits_of(activation)
    if high is None:
        return draft.emit("Relu", [name])
    return draft.emit("Clip", [name, draft.constant(low), draft.constant(high)])


def limits_of(activation: int) -> tuple[float, float | None]:
    """Between which numbers an activation clips; None is no limit.

    Raises:
        UnsupportedError: It is another.
    """
    if activation not in list(_LIMITS):
        raise UnsupportedError(f"unknown fused activation {activation}")
    return _LIMITS[Activation(activation)]


def give_real(
    draft: Draft, operator: Operator, name: str, shape: Shape, activation: int = 0
) -> None:
    """Real numbers are an operator's output: as they are, or quantized.

    Raises:
        UnsupportedError: The tensor is of another type.
    """
    tensor = draft.tensor(operator.output)
    name = activated(draft, name, activation)
    if tensor.type == TensorType.FLOAT32:
        draft.give(operator.output, Value(name=name, kind="real", shape=shape))
        return
    scale, _ = scale_of(tensor)
    divided = draft.emit("Div", [name, draft.constant(scale)])
    give_rounded(draft, operator, divided, shape)


def check_moved(draft: Draft, place: int, output: int) -> None:
    """Refuse elements that would not mean the same in another tensor.

    Raises:
        UnsupportedError: The tensors have different types or scales.
    """
    source, target = (draft.tensor(index) for index in (place, output))
    if source.type != target.type:
        raise UnsupportedError(f"expected {source.type.name} to stay so, got {target.type.name}")
    if draft.value_of(place).kind == "quantized":
        before, after = source.quantization, target.quantization
        if before is None or after is None or not before.equals(after):
            raise UnsupportedError("expected input and output of one scale")


def give_moved(draft: Draft, place: int, output: int, value: Value) -> None:
    """A moved value is an operator's output, which must mean the same as the input.

    Args:
        draft: Gets the value.
        place: The tensor that has been moved.
        output: The tensor that the value is.
        value: What has come of it.

    Raises:
        UnsupportedError: The output has another type or scale.
    """
    check_moved(draft, place, output)
    draft.give(output, value)


def give_rounded(
    draft: Draft,
    operator: Operator,
    name: str,
    shape: Shape,
    clip: tuple[float, float] | None = None,
) -> None:
    """Multiples of the output's scale are rounded and clipped to what its type can hold.

    Args:
        draft: Gets the nodes.
        operator: Its output is quantized.
        name: What is rounded, halves away from zero; without the zero point.
        shape: Of the output.
        clip: Narrower limits, of an activation, in the same units.
    """
    give_whole(draft, operator, halves_away(draft, name), shape, clip)


def halves_up(draft: Draft, name: str) -> str:
    """Whole numbers next to others; of a half, the greater one."""
    return draft.emit("Floor", [draft.emit("Add", [name, draft.constant(0.5)])])


def halves_away(draft: Draft, name: str) -> str:
    """Whole numbers next to others; of a half, the one further from zero."""
    return draft.emit("Round", [draft.emit("Mul", [name, draft.constant(_AWAY_FROM_ZERO)])])


def give_whole(
    draft: Draft,
    operator: Operator,
    name: str,
    shape: Shape,
    clip: tuple[float, float] | None = None,
) -> None:
    """Whole numbers, as `give_rounded` has them, are clipped to what the output can hold."""
    tensor = draft.tensor(operator.output)
    scale, zero_point = scale_of(tensor)
    bounds = np.iinfo(DTYPES[tensor.type])
    low, high = float(bounds.min - zero_point), float(bounds.max - zero_point)
    if clip is not None:
        low, high = max(low, clip[0]), min(high, clip[1])
    clipped = draft.emit("Clip", [name, draft.constant(low), draft.constant(high)])
    value = Value(name=clipped, kind="quantized", shape=shape, scale=scale)
    draft.give(operator.output, value)


def fixed_point(draft: Draft, name: str, factor: float) -> str:
    """Whole numbers times a factor, as TensorFlow Lite multiplies: what is left is not rounded.

    The factor is m 2^e with m in [1/2, 1); the product with m is rounded before the shift by e, so
    that the shifted number is rounded once more. That shows where e is small, as in a mean.
    """
    mantissa, exponent = np.frexp(factor)
    product = draft.emit("Mul", [name, draft.constant(mantissa)])
    rounded = halves_away(draft, product)
    return draft.emit("Mul", [rounded, draft.constant(np.ldexp(1.0, int(exponent)))])


def scale_of(tensor: Tensor) -> tuple[float, int]:
    """Scale and zero point of a quantized tensor.

    Raises:
        UnsupportedError: It has none, or one for each channel.
    """
    found = tensor.quantization
    if tensor.type not in QUANTIZED or found is None or found.scale.size != 1:
        raise UnsupportedError(
            f"the tensor {tensor.name!r} is {tensor.type.name}, expected float32, or whole numbers"
            " of at most 16 bits with one scale"
        )
    return float(found.scale[0]), int(found.zero_point[0])
