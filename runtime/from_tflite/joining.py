"""Translates CONCATENATION of computed values, of constants with them, and of packed signs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.lce_operators import with_channels
from bnnkit.runtime.from_tflite.numbers import (
    for_one_image,
    give_moved,
    give_real,
    real,
    real_constant,
)
from bnnkit.runtime.from_tflite.onnx_builder import Array, OnnxBuilder
from bnnkit.runtime.from_tflite.values import NHWC_TO_NCHW, OnnxValue, Shape, axis_of, whole_words
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import ConcatenationOptions
from bnnkit.tflite.schema import Activation


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """One of the inputs.

    Attributes:
        shape: As in TFLite, but with channels instead of words for signs.
        value: The input, if it is computed.
        constant: The input as real numbers, if it is constant.
    """

    shape: Shape
    value: OnnxValue | None
    constant: Array | None


def concatenation(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate CONCATENATION along an axis other than the batch.

    Raises:
        UnsupportedError: No input is computed, kinds differ, or the axis is the batch.
        ArtifactError: The shapes do not fit.
    """
    parts = [_part(builder, place) for place in operator.inputs if place >= 0]
    if not parts or len(parts) != len(operator.inputs):
        raise ArtifactError("expected one or more inputs, none of them left out")
    options, rank = operator.options_as(ConcatenationOptions), len(parts[0].shape)
    axis = options.axis
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis other than the batch, got {axis}")
    axis %= rank
    shapes = [part.shape for part in parts]
    outer = {(*shape[1:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(outer) != 1 or any(len(shape) != rank for shape in shapes):
        raise ArtifactError(f"the shapes {shapes} do not fit each other")
    values = [part.value for part in parts if part.value is not None]
    kinds = {"real" if value.kind == "quantized" else value.kind for value in values}
    if len(kinds) != 1:
        raise UnsupportedError(f"expected values of one kind, got {sorted(kinds) or 'constants'}")
    shape = (builder.batch, *_joined(shapes, axis)[1:])
    if kinds == {"real"}:
        give_real(
            builder,
            operator,
            _reals(builder, parts, axis),
            shape,
            options.fused_activation_function,
        )
        return
    if len(values) != len(parts) or options.fused_activation_function != Activation.NONE:
        raise UnsupportedError("expected computed signs, without an activation")
    _give_moved(builder, operator, values, axis)


def _joined(shapes: Sequence[Shape], axis: int) -> Shape:
    total = sum(shape[axis] for shape in shapes)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _part(builder: OnnxBuilder, place: int) -> _Part:
    if builder.is_constant(place):
        constant = for_one_image(real_constant(builder, place))
        return _Part(shape=constant.shape, value=None, constant=constant)
    value = builder.value_of(place)
    return _Part(shape=value.shape, value=value, constant=None)


def _reals(builder: OnnxBuilder, parts: Sequence[_Part], axis: int) -> str:
    """Join real numbers.

    A constant cannot be concatenated with a value of a free batch. Instead the values are padded
    with zeros in its place, and the constant is added.
    """
    rank = len(parts[0].shape)
    names: list[str] = []
    rooms: list[list[int]] = []
    ahead = 0
    for part in parts:
        if part.value is not None:
            names.append(real(builder, part.value))
            rooms.append([ahead, 0])
            ahead = 0
        elif rooms:
            rooms[-1][1] += part.shape[axis]
        else:
            ahead += part.shape[axis]
    inner = axis_of(axis, rank)
    padded = [
        _padded(builder, name, rank, inner, room) for name, room in zip(names, rooms, strict=True)
    ]
    name = padded[0] if len(padded) == 1 else builder.emit("Concat", padded, axis=inner)
    if len(names) == len(parts):
        return name
    constants = [
        np.zeros((1, *part.shape[1:])) if part.constant is None else part.constant
        for part in parts
    ]
    constant = np.concatenate(constants, axis=axis)
    if rank == 4:
        constant = constant.transpose(NHWC_TO_NCHW)
    return builder.emit("Add", [name, builder.constant(constant)])


def _padded(builder: OnnxBuilder, name: str, rank: int, axis: int, room: Sequence[int]) -> str:
    """Pad with zeros before and after along an axis."""
    if not any(room):
        return name
    widths = np.zeros((2, rank), np.int64)
    widths[:, axis] = room
    return builder.emit(
        "Pad", [name, builder.constant(widths.ravel(), np.int64), builder.constant(0.0)]
    )


def _give_moved(
    builder: OnnxBuilder, operator: Operator, values: Sequence[OnnxValue], axis: int
) -> None:
    """Join signs or plain numbers; packed signs fill the words of all but the last part."""
    rank = len(values[0].shape)
    is_packed = builder.is_packed(operator.inputs[0])
    if any(builder.is_packed(place) != is_packed for place in operator.inputs):
        raise UnsupportedError("expected bools or packed signs, got both")
    if is_packed and axis == rank - 1:
        values = [
            *(with_channels(builder, value, whole_words(value)) for value in values[:-1]),
            values[-1],
        ]
    name = builder.emit("Concat", [value.name for value in values], axis=axis_of(axis, rank))
    shape = _joined([value.shape for value in values], axis)
    moved = replace(values[0], name=name, shape=shape)
    give_moved(builder, operator.inputs[0], operator.output, moved)
