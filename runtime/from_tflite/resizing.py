"""Translates RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR, one axis after the other.

References:
    tensorflow/lite/kernels/internal/reference: resize_nearest_neighbor.h, resize_bilinear.h.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError
from bnnkit.runtime.from_tflite.gathering import take
from bnnkit.runtime.from_tflite.lce_operators import map_of
from bnnkit.runtime.from_tflite.numbers import give_moved, give_real, real
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import OnnxValue
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import ResizeBilinearOptions, ResizeNearestNeighborOptions

_MOST = 1 << 15
"""Largest number of rows or columns."""

Positions = NDArray[np.float32]


def resize_nearest(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate RESIZE_NEAREST_NEIGHBOR."""
    value, options = builder.value(operator), operator.options_as(ResizeNearestNeighborOptions)
    builder.refuse_packed(operator.inputs[0])
    corners, half = options.align_corners, options.half_pixel_centers
    indices = {}
    for axis, size in zip((1, 2), _sizes(builder, operator, value), strict=True):
        given = value.shape[axis]
        offset = np.float32(0.5 if half else 0)
        places = (np.arange(size, dtype=np.float32) + offset) * _scale(given, size, corners)
        # As std::round: halves go away from zero. No place is negative.
        whole = np.floor(places.astype(np.float64) + 0.5) if corners else np.floor(places)
        indices[axis] = np.clip(whole, 0, given - 1).astype(np.int64)
    taken = take(builder, value, indices)
    give_moved(builder, operator.inputs[0], operator.output, taken)


def resize_bilinear(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate RESIZE_BILINEAR."""
    value, options = builder.value(operator), operator.options_as(ResizeBilinearOptions)
    sizes = _sizes(builder, operator, value)
    value = replace(value, name=real(builder, value))
    corners, half = options.align_corners, options.half_pixel_centers
    for axis, size in zip((1, 2), sizes, strict=True):
        scale = _scale(value.shape[axis], size, corners)
        steps = np.arange(size, dtype=np.float32)
        places = (steps + np.float32(0.5)) * scale - np.float32(0.5) if half else steps * scale
        value = _between(builder, value, axis, places)
    give_real(builder, operator, value.name, value.shape)


def _between(builder: OnnxBuilder, value: OnnxValue, axis: int, places: Positions) -> OnnxValue:
    """Interpolate at places between the elements of an axis, 1 or 2."""
    given = value.shape[axis]
    low = np.clip(np.floor(places), 0, given - 1)
    high = np.clip(np.ceil(places), 0, given - 1)
    share = (places - low).reshape((-1, 1) if axis == 1 else (1, -1))
    before = take(builder, value, {axis: low.astype(np.int64)})
    after = take(builder, value, {axis: high.astype(np.int64)})
    parts = [
        builder.emit("Mul", [part.name, builder.constant(weight)])
        for part, weight in ((before, 1 - share), (after, share))
    ]
    return replace(before, name=builder.emit("Add", parts))


def _scale(given: int, size: int, corners: bool) -> np.float32:
    """Distance of two elements of the result, in elements of the input."""
    if corners and size > 1:
        return np.float32(given - 1) / np.float32(size - 1)
    return np.float32(given) / np.float32(size)


def _sizes(builder: OnnxBuilder, operator: Operator, value: OnnxValue) -> tuple[int, int]:
    map_of(value)
    sizes = builder.whole_numbers(operator, 1).reshape(-1).tolist()
    if len(sizes) != 2 or not all(0 < size <= _MOST for size in sizes):
        raise ArtifactError(f"expected a height and a width of 1 to {_MOST}, got {sizes}")
    return sizes[0], sizes[1]
