"""Emits builtin operators that several layers need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite.epilogue import Epilogue, Thresholds, minus
from bnnkit.export.tflite.tflite_builder import DTYPES, TfliteBuilder
from bnnkit.tflite.options import ConcatenationOptions, GatherOptions
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.window import Pads


def broadcast_shape(builder: TfliteBuilder, *tensors: int) -> tuple[int, ...]:
    """The shape of tensors that broadcast along axes of size 1."""
    return np.broadcast_shapes(*map(builder.shape, tensors))


def elementwise(builder: TfliteBuilder, code: Builtin, left: int, right: int) -> int:
    """Emit an operator on two tensors, which may broadcast along axes of size 1."""
    return builder.emit(code, [left, right], broadcast_shape(builder, left, right))


def add(builder: TfliteBuilder, tensor: int, numbers: NDArray[Any]) -> int:
    """Add a constant to a tensor, with one rounding."""
    constant = builder.constant(numbers.astype(np.float32))
    return elementwise(builder, Builtin.ADD, tensor, constant)


def scale(builder: TfliteBuilder, tensor: int, numbers: NDArray[Any]) -> int:
    """Multiply a tensor by a constant, with one rounding."""
    constant = builder.constant(numbers.astype(np.float32))
    return elementwise(builder, Builtin.MUL, tensor, constant)


def greater_equal(builder: TfliteBuilder, left: int, right: int) -> int:
    """Compare left >= right, as BOOL; the tensors may broadcast along axes of size 1."""
    shape = broadcast_shape(builder, left, right)
    return builder.emit(Builtin.GREATER_EQUAL, [left, right], shape, kind=TensorType.BOOL)


def apply_epilogue(builder: TfliteBuilder, sums: int, epilogue: Epilogue) -> int:
    """Apply an epilogue to exact sums, by separate operators.

    Rounding never changes the sign of the difference of a sum and a threshold.
    """
    if isinstance(epilogue, Thresholds):
        return builder.signs.of_reals(builder, add(builder, sums, minus(epilogue.values)))
    if (epilogue.scale != 1).any():
        sums = scale(builder, sums, epilogue.scale)
    return add(builder, sums, epilogue.bias) if epilogue.bias.any() else sums


def pad(
    builder: TfliteBuilder,
    tensor: int,
    pads: Pads,
    value: float | None = None,
    channels: tuple[int, int] = (0, 0),
) -> int:
    """Pad a map (N, H, W, C) with zeros, or with `value`, in the type of the map."""
    top, left, bottom, right = pads
    widths = np.array([[0, 0], [top, bottom], [left, right], channels], np.int32)
    shape = tuple((np.array(builder.shape(tensor)) + widths.sum(1)).tolist())
    inputs, kind = [tensor, builder.constant(widths)], builder.type(tensor)
    if value is None:
        return builder.emit(Builtin.PAD, inputs, shape, kind=kind)
    inputs.append(builder.constant(np.array([value], DTYPES[kind])))
    return builder.emit(Builtin.PADV2, inputs, shape, kind=kind)


def reshape(builder: TfliteBuilder, tensor: int, shape: Sequence[int]) -> int:
    """Reshape a tensor, unless it already has the shape."""
    if tuple(shape) == builder.shape(tensor):
        return tensor
    inputs = [tensor, builder.integers(*shape)]
    kind = builder.type(tensor)
    return builder.emit(Builtin.RESHAPE, inputs, shape, kind=kind)


def transpose(builder: TfliteBuilder, tensor: int, order: Sequence[int]) -> int:
    """Transpose a tensor."""
    shape = [builder.shape(tensor)[axis] for axis in order]
    inputs, kind = [tensor, builder.integers(*order)], builder.type(tensor)
    return builder.emit(Builtin.TRANSPOSE, inputs, shape, kind=kind)


def strided_slice(builder: TfliteBuilder, tensor: int, ranges: dict[int, range]) -> int:
    """Slice a tensor by ranges of some axes, with positive steps."""
    sizes = builder.shape(tensor)
    whole = [ranges.get(axis, range(size)) for axis, size in enumerate(sizes)]
    shape = [len(part) for part in whole]
    if shape == list(sizes):
        return tensor
    limits = zip(*((part.start, part.stop, part.step) for part in whole), strict=True)
    inputs = [tensor, *(builder.integers(*numbers) for numbers in limits)]
    return builder.emit(
        Builtin.STRIDED_SLICE,
        inputs,
        shape,
        kind=builder.type(tensor),
    )


def gather(builder: TfliteBuilder, tensor: int, places: NDArray[np.int64], axis: int) -> int:
    """Take the elements at some places of an axis."""
    shape = list(builder.shape(tensor))
    shape[axis] = len(places)
    inputs = [tensor, builder.integers(*places.tolist())]
    options = GatherOptions(axis=axis)
    return builder.emit(Builtin.GATHER, inputs, shape, kind=builder.type(tensor), options=options)


def slice_channels(builder: TfliteBuilder, tensor: int, start: int, stop: int) -> int:
    """Slice the last axis of a tensor."""
    return strided_slice(builder, tensor, {len(builder.shape(tensor)) - 1: range(start, stop)})


def concatenate(builder: TfliteBuilder, tensors: Sequence[int], axis: int) -> int:
    """Concatenate tensors along an axis."""
    shape = list(builder.shape(tensors[0]))
    shape[axis] = sum(builder.shape(tensor)[axis] for tensor in tensors)
    return builder.emit(
        Builtin.CONCATENATION,
        tensors,
        shape,
        kind=builder.type(tensors[0]),
        options=ConcatenationOptions(axis=axis % len(shape)),
    )
