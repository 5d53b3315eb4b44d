"""Converts values to the layout that an operator needs; values.py has the table of layouts."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import Map, TfliteValue
from bnnkit.tflite.window import NO_PADS


def materialized(builder: TfliteBuilder, value: TfliteValue) -> TfliteValue:
    """The value with its margin of +1 written to memory."""
    if value.margin == NO_PADS or value.map is None:
        return value
    key = (value.tensor, value.margin)
    if key not in builder.padded:
        builder.padded[key] = arithmetic.pad(
            builder, value.tensor, value.margin, builder.signs.plus
        )
    channels, height, width = value.map
    top, left, bottom, right = value.margin
    whole = (channels, height + top + bottom, width + left + right)
    return replace(value, tensor=builder.padded[key], map=whole, margin=NO_PADS)


def as_map(builder: TfliteBuilder, value: TfliteValue) -> tuple[int, Map]:
    """A value as (N, H, W, C): the tensor, and (C, H, W).

    A sequence (C, L) is a map (C, 1, L); values with other numbers of axes are one pixel.
    """
    if value.map is not None:
        return value.tensor, value.map
    if len(value.shape) == 2:
        channels, length = value.shape
        line = (channels, 1, length)
        return _to_nhwc(builder, value.tensor, line), line
    pixel = (math.prod(value.shape), 1, 1)
    return arithmetic.reshape(builder, value.tensor, (builder.batch, 1, 1, pixel[0])), pixel


def as_onnx(builder: TfliteBuilder, value: TfliteValue) -> int:
    """The tensor with axes, and elements of a flattened map, in ONNX's order."""
    if value.map is None:
        return value.tensor
    channels, height, width = value.map
    tensor = value.tensor
    if channels > 1 and height * width > 1:
        tensor = arithmetic.transpose(builder, tensor, (0, 3, 1, 2))
    return arithmetic.reshape(builder, tensor, (builder.batch, *value.shape))


def stored_axes(value: TfliteValue) -> dict[int, int] | None:
    """The tensor's axis for each of ONNX's axes; None if elements are in another order."""
    if value.map is None:
        return {axis: axis for axis in range(1, 1 + len(value.shape))}
    if len(value.shape) == 3:
        return {1: 3, 2: 1, 3: 2}
    return {1: 3} if value.map[1:] == (1, 1) else None


def elements(builder: TfliteBuilder, value: TfliteValue) -> int:
    """The tensor in ONNX's layout, with one element for each sign."""
    value = materialized(builder, value)
    if value.kind != "signs" or value.map is None:
        return as_onnx(builder, value)
    tensor = builder.signs.to_elements(builder, value.tensor, value.map[0])
    return as_onnx(builder, replace(value, tensor=tensor))


def of_elements(
    builder: TfliteBuilder, value: TfliteValue, tensor: int, shape: Sequence[int]
) -> TfliteValue:
    """A value of the same kind for a tensor (N, *shape) as `elements` returns it."""
    pixels = (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
    if value.kind == "signs" and len(shape) == 1:
        pixels = (shape[0], 1, 1)
    if pixels is not None:
        tensor = _to_nhwc(builder, tensor, pixels)
        if value.kind == "signs":
            tensor = builder.signs.of_elements(builder, tensor)
    return replace(value, tensor=tensor, shape=tuple(shape), map=pixels, margin=NO_PADS)


def reshaped(builder: TfliteBuilder, value: TfliteValue, shape: Sequence[int]) -> TfliteValue:
    """The value in another shape; a flattened map keeps its tensor."""
    value = materialized(builder, value)
    if tuple(shape) == value.shape:
        return value
    if value.map is not None and (len(shape) == 1 or tuple(shape) == value.map):
        return replace(value, shape=tuple(shape))
    tensor = arithmetic.reshape(builder, elements(builder, value), (builder.batch, *shape))
    return of_elements(builder, value, tensor, shape)


def as_output(builder: TfliteBuilder, value: TfliteValue) -> TfliteValue:
    """A value as an output of the file: without a margin, and signs as a map."""
    value = materialized(builder, value)
    if value.kind != "signs" or value.map is not None:
        return value
    pixel = (math.prod(value.shape), 1, 1)
    tensor = builder.signs.of_elements(builder, _to_nhwc(builder, value.tensor, pixel))
    return replace(value, tensor=tensor, map=pixel)


def _to_nhwc(builder: TfliteBuilder, tensor: int, pixels: Map) -> int:
    """Transpose a map (N, C, H, W), or a tensor with elements in that order, to (N, H, W, C)."""
    channels, height, width = pixels
    if channels == 1 or height * width == 1:
        return arithmetic.reshape(builder, tensor, (builder.batch, height, width, channels))
    tensor = arithmetic.reshape(builder, tensor, (builder.batch, *pixels))
    return arithmetic.transpose(builder, tensor, (0, 2, 3, 1))


def in_onnx_layout(builder: TfliteBuilder, value: TfliteValue) -> TfliteValue:
    """The value with its tensor in ONNX's layout."""
    return replace(value, tensor=as_onnx(builder, value), map=None)


def real(value: TfliteValue, tensor: int, **changes: Any) -> TfliteValue:
    """A copy of a value for a tensor of real numbers, with changes."""
    return replace(value, kind="real", tensor=tensor, **changes)


def constant_beside(value: TfliteValue, numbers: NDArray[Any]) -> NDArray[Any]:
    """A constant that ONNX broadcasts with a value, in the layout of the value.

    Raises:
        UnsupportedError: It has more axes than the value, or differs within the batch.
    """
    n_axes = 1 + len(value.shape)
    full = numbers.reshape((1,) * (n_axes - numbers.ndim) + numbers.shape)
    if full.ndim != n_axes or full.shape[0] != 1:
        raise UnsupportedError(
            f"a constant of shape {numbers.shape} does not broadcast to (N, *{value.shape})"
        )
    if value.map is None:
        return full
    if len(value.shape) == 2:
        full = full[:, :, None]
    elif len(value.shape) != 3:
        whole = np.broadcast_to(full, (1, *value.shape)) if full.size > 1 else full
        full = whole.reshape(1, *(value.map if full.size > 1 else (1, 1, 1)))
    return full.transpose(0, 2, 3, 1)
