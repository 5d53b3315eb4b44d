"""Translates SPLIT, SPLIT_V, SLICE and STRIDED_SLICE."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.numbers import give_moved
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.shaping import reshaped
from bnnkit.runtime.from_tflite.values import (
    NHWC_TO_NCHW,
    WORD_BITS,
    OnnxValue,
    Shape,
    axis_of,
    n_words,
)
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import StridedSliceOptions


def split(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SPLIT into equal parts along an axis; its inputs are the axis and the value."""
    value = builder.value(operator, 1)
    axis, count = _axis(builder, operator, 0, value), len(operator.outputs)
    shape = builder.tensor(operator.inputs[1]).shape
    if shape[axis] % count:
        raise ArtifactError(f"expected {count} equal parts of {shape} along axis {axis}")
    _split(builder, operator, operator.inputs[1], axis, [shape[axis] // count] * count)


def split_v(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SPLIT_V into parts of given sizes."""
    value, sizes = builder.value(operator), builder.whole_numbers(operator, 1).reshape(-1).tolist()
    axis, shape = _axis(builder, operator, 2, value), builder.tensor(operator.inputs[0]).shape
    if -1 in sizes:  # stands for the rest, at most once
        sizes[sizes.index(-1)] = shape[axis] - sum(sizes) - 1
    if len(sizes) != len(operator.outputs) or min(sizes) < 0 or sum(sizes) != shape[axis]:
        raise UnsupportedError(f"the sizes {sizes} do not fit {shape} along axis {axis}")
    _split(builder, operator, operator.inputs[0], axis, sizes)


def _split(
    builder: OnnxBuilder,
    operator: Operator,
    source: int,
    axis: int,
    sizes: Sequence[int],
) -> None:
    """Split a tensor; sizes are in elements of the tensor, which are words for packed signs."""
    value, shape = builder.value_of(source), builder.tensor(source).shape
    start = 0
    for place, size in zip(operator.outputs, sizes, strict=True):
        ranges = [(0, n, 1) for n in shape]
        ranges[axis] = start, start + size, 1
        give_moved(builder, source, place, _cut(builder, source, value, ranges))
        start += size


def strided_slice(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate STRIDED_SLICE; packed signs are sliced by words.

    Raises:
        UnsupportedError: The ends are offsets, the batch is sliced, or words are skipped.
    """
    value = builder.value(operator)
    ranges = ranges_of(builder, operator, builder.tensor(operator.inputs[0]).shape)
    cut = _cut(builder, operator.inputs[0], value, ranges)
    shape = _unpacked(builder, operator.inputs[0], builder.tensor(operator.output).shape, cut)
    if shape != cut.shape:
        cut = reshaped(builder, cut, shape)
    give_moved(builder, operator.inputs[0], operator.output, cut)


def ranges_of(
    builder: OnnxBuilder, operator: Operator, shape: Shape
) -> list[tuple[int, int, int]]:
    """Start, end and step of a STRIDED_SLICE along each axis.

    An end of -1 stands for the place before the first element.

    Raises:
        UnsupportedError: The ends are offsets.
        ArtifactError: The numbers do not fit each other or the shape.
    """
    options = operator.options_as(StridedSliceOptions)
    begin, end, strides = (
        builder.whole_numbers(operator, index).reshape(-1).tolist() for index in (1, 2, 3)
    )
    if options.offset:
        raise UnsupportedError("expected ends, not offsets from the begin (the option offset)")
    if not len(begin) == len(end) == len(strides) or 0 in strides:
        raise ArtifactError(f"expected begin, end and strides, got {begin}, {end}, {strides}")
    return _ranges(list(zip(begin, end, strides, strict=True)), shape, options)


def _ranges(
    given: Sequence[tuple[int, int, int]], shape: Shape, options: StridedSliceOptions
) -> list[tuple[int, int, int]]:
    """Start, end and step along each axis, as `ranges_of` returns them.

    Args:
        given: Begin, end and stride in the order of the file, where an ellipsis stands for
            several axes and a new axis for none.
        shape: Shape of the tensor.
        options: The masks.
    """
    no_begin, no_end, one = options.begin_mask, options.end_mask, options.shrink_axis_mask
    ellipsis, new = options.ellipsis_mask, options.new_axis_mask
    found: list[tuple[int, int, int]] = []
    kept = sum(not (new | ellipsis) >> i & 1 for i in range(len(given)))
    for i, (begin, end, stride) in enumerate(given):
        if ellipsis >> i & 1:
            whole = shape[len(found) : len(found) + max(len(shape) - kept, 0)]
            found += [(0, size, 1) for size in whole]
            continue
        if new >> i & 1:
            continue
        if len(found) >= len(shape):
            raise ArtifactError(f"the slice has more axes than {shape}")
        size = shape[len(found)]
        low, high = (0, size) if stride > 0 else (-1, size - 1)
        first, last = (min(max(n + size if n < 0 else n, low), high) for n in (begin, end))
        if no_begin >> i & 1 and not one >> i & 1:
            first = low if stride > 0 else high
        if no_end >> i & 1:
            last = high if stride > 0 else low
        if one >> i & 1:
            if not 0 <= first < size:
                raise ArtifactError(f"element {begin} is not inside {shape}")
            last, stride = first + 1, 1
        found.append((first, last, stride))
    return found + [(0, size, 1) for size in shape[len(found) :]]


def slice_(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SLICE, given by begin and size; a size of -1 reaches to the end."""
    value = builder.value(operator)
    begin, size = (builder.whole_numbers(operator, index).reshape(-1).tolist() for index in (1, 2))
    shape = builder.tensor(operator.inputs[0]).shape
    if not len(begin) == len(size) == len(shape):
        raise ArtifactError(f"expected begin and size for {len(shape)} axes")
    ends = [n if s == -1 else b + s for b, s, n in zip(begin, size, shape, strict=True)]
    for b, e, n in zip(begin, ends, shape, strict=True):
        if not 0 <= b <= e <= n:
            raise ArtifactError(
                f"the slice from {begin} of size {size} is out of bounds of {shape}"
            )
    ranges = [(b, e, 1) for b, e in zip(begin, ends, strict=True)]
    cut = _cut(builder, operator.inputs[0], value, ranges)
    give_moved(builder, operator.inputs[0], operator.output, cut)


def _cut(
    builder: OnnxBuilder, source: int, value: OnnxValue, ranges: Sequence[tuple[int, int, int]]
) -> OnnxValue:
    """A slice of a value.

    Args:
        builder: Gets the node.
        source: The tensor that is sliced.
        value: The value of the tensor.
        ranges: Start, end and step along each axis, in words if the tensor is packed.

    Raises:
        UnsupportedError: The batch is sliced, words are skipped, or nothing is left.
    """
    rank, ranges = len(value.shape), list(ranges)
    if builder.is_packed(source):
        start, end, step = ranges[-1]
        if step != 1:
            raise UnsupportedError(
                "expected a slice of packed signs without a step along the words"
            )
        ranges[-1] = start * WORD_BITS, min(end * WORD_BITS, value.shape[-1]), 1
    sizes = tuple(-((s - e) // step) for s, e, step in ranges)
    if min(sizes) < 1 or ranges[0] != (0, value.shape[0], 1):
        raise UnsupportedError(f"expected a slice with the whole batch, got the shape {sizes}")
    order = list(NHWC_TO_NCHW) if rank == 4 else list(range(rank))
    inner = [axis for axis in order[1:] if ranges[axis] != (0, value.shape[axis], 1)]
    if not inner:
        return replace(value, name=builder.emit("Identity", [value.name]))
    # In ONNX, -1 is the last element, so the place before the first one is -1 - size.
    cuts = [
        (start, -1 - value.shape[axis] if end < 0 else end, axis_of(axis, rank), step)
        for axis, (start, end, step) in enumerate(ranges)
        if axis in inner
    ]
    constants = [builder.constant(list(numbers), np.int64) for numbers in zip(*cuts, strict=True)]
    return replace(value, name=builder.emit("Slice", [value.name, *constants]), shape=sizes)


def _unpacked(builder: OnnxBuilder, source: int, shape: Shape, value: OnnxValue) -> Shape:
    """A shape in the file with the channels of the value instead of words."""
    if not builder.is_packed(source):
        return shape
    if not shape or shape[-1] != n_words(value.shape[-1]):
        raise UnsupportedError("expected the words of packed signs to stay the last axis")
    return (*shape[:-1], value.shape[-1])


def _axis(builder: OnnxBuilder, operator: Operator, index: int, value: OnnxValue) -> int:
    found = builder.whole_numbers(operator, index).reshape(-1)
    rank = len(value.shape)
    if found.size != 1 or not -rank <= int(found[0]) < rank or int(found[0]) % rank == 0:
        raise UnsupportedError(f"expected an axis other than the batch, got {found.tolist()}")
    return int(found[0]) % rank
