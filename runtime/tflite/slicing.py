"""Operators that take parts of a value."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.tflite.draft import Draft
from bnnkit.runtime.tflite.network import Operator
from bnnkit.runtime.tflite.options import Options
from bnnkit.runtime.tflite.values import NHWC_TO_NCHW, WORD_BITS, Value, axis_of
from bnnkit.tflite_schema import TensorType

_STRIDED_SLICE = 32


def split(draft: Draft, operator: Operator) -> None:
    """SPLIT: equal parts along an axis; its inputs are the axis and the value."""
    value = draft.value(operator, 1)
    axis, count = _axis(draft, operator, 0, value), len(operator.outputs)
    if value.shape[axis] % count:
        raise ArtifactError(f"expected {count} equal parts of {value.shape} along axis {axis}")
    _split(draft, operator, value, axis, [value.shape[axis] // count] * count)


def split_v(draft: Draft, operator: Operator) -> None:
    """SPLIT_V: parts of given sizes."""
    value, sizes = draft.value(operator), draft.constant_of(operator, 1).reshape(-1).tolist()
    axis = _axis(draft, operator, 2, value)
    if len(sizes) != len(operator.outputs) or min(sizes) < 0 or sum(sizes) != value.shape[axis]:
        raise UnsupportedError(f"the sizes {sizes} do not fit {value.shape} along axis {axis}")
    _split(draft, operator, value, axis, sizes)


def _split(
    draft: Draft, operator: Operator, value: Value, axis: int, sizes: Sequence[int]
) -> None:
    if value.kind == "signs":
        raise UnsupportedError("expected numbers, got packed signs")
    start = 0
    for place, size in zip(operator.outputs, sizes, strict=True):
        starts, ends = [0] * len(value.shape), list(value.shape)
        starts[axis], ends[axis] = start, start + size
        _slice(draft, place, value, starts, ends, [1] * len(starts))
        start += size


def strided_slice(draft: Draft, operator: Operator) -> None:
    """STRIDED_SLICE with whole axes kept; of packed signs, in words."""
    value, options = draft.value(operator), Options(operator, _STRIDED_SLICE)
    rank = len(value.shape)
    begin, end, strides = (
        draft.constant_of(operator, index).reshape(-1).tolist() for index in (1, 2, 3)
    )
    if any(options.whole(slot) for slot in (2, 3, 4)):
        raise UnsupportedError("expected no ellipsis, new axes or axes that are left out")
    if not len(begin) == len(end) == len(strides) == rank or min(strides) < 1:
        raise UnsupportedError(f"expected begin, end and positive strides for {rank} axes")
    ends_at = list(draft.tensor(operator.inputs[0]).shape)
    masks = options.whole(0), options.whole(1)
    starts, ends = [], []
    for axis, size in enumerate(ends_at):
        first, last = (n + size if n < 0 else n for n in (begin[axis], end[axis]))
        starts.append(0 if masks[0] >> axis & 1 else min(max(first, 0), size))
        ends.append(size if masks[1] >> axis & 1 else min(max(last, 0), size))
    _slice(draft, operator.output, value, starts, ends, strides)


def slice_(draft: Draft, operator: Operator) -> None:
    """SLICE: begin and size; -1 is all that is left."""
    value = draft.value(operator)
    begin, size = (draft.constant_of(operator, index).reshape(-1).tolist() for index in (1, 2))
    shape = draft.tensor(operator.inputs[0]).shape
    if not len(begin) == len(size) == len(shape):
        raise ArtifactError(f"expected begin and size for {len(shape)} axes")
    ends = [n if s == -1 else b + s for b, s, n in zip(begin, size, shape, strict=True)]
    for b, e, n in zip(begin, ends, shape, strict=True):
        if not 0 <= b <= e <= n:
            raise ArtifactError(f"the part from {begin} of size {size} is not inside {shape}")
    _slice(draft, operator.output, value, begin, ends, [1] * len(begin))


def _slice(
    draft: Draft,
    place: int,
    value: Value,
    starts: Sequence[int],
    ends: Sequence[int],
    strides: Sequence[int],
) -> None:
    """A part of a value; starts and ends in the file's own units, words for packed signs."""
    rank, tensor = len(value.shape), draft.tensor(place)
    starts, ends = list(starts), list(ends)
    if value.kind == "signs" and tensor.type != TensorType.BOOL:
        if strides[-1] != 1:
            raise UnsupportedError("expected the words of packed signs to follow each other")
        starts[-1] *= WORD_BITS
        ends[-1] = min(ends[-1] * WORD_BITS, value.shape[-1])
    sizes = tuple(-(-(e - s) // step) for s, e, step in zip(starts, ends, strides, strict=True))
    if min(sizes) < 1 or sizes[0] != value.shape[0]:
        raise UnsupportedError(f"expected a part with the whole batch, got the shape {sizes}")
    order = list(NHWC_TO_NCHW) if rank == 4 else list(range(rank))
    inner = [axis for axis in order[1:] if sizes[axis] != value.shape[axis]]
    if not inner:
        draft.give(place, replace(value, name=draft.emit("Identity", [value.name])))
        return
    inputs = [[numbers[axis] for axis in inner] for numbers in (starts, ends)]
    inputs += [[axis_of(axis, rank) for axis in inner], [strides[axis] for axis in inner]]
    constants = [draft.constant(numbers, np.int64) for numbers in inputs]
    name = draft.emit("Slice", [value.name, *constants])
    draft.give(place, replace(value, name=name, shape=sizes))


def _axis(draft: Draft, operator: Operator, index: int, value: Value) -> int:
    found = draft.constant_of(operator, index).reshape(-1)
    rank = len(value.shape)
    if found.size != 1 or not -rank <= int(found[0]) < rank or int(found[0]) % rank == 0:
        raise UnsupportedError(f"expected an axis behind the batch, got {found.tolist()}")
    return int(found[0]) % rank
