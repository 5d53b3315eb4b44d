"""Operators that change how many axes or channels there are."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.gathering import take
from bnnkit.runtime.from_tflite.lce_operators import map_of
from bnnkit.runtime.from_tflite.numbers import check_moved, give_moved
from bnnkit.runtime.from_tflite.shaping import reshaped
from bnnkit.runtime.from_tflite.values import axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options

_PACK, _UNPACK, _DEPTH_TO_SPACE, _SPACE_TO_DEPTH = 59, 64, 94, 19


def pack(draft: Draft, operator: Operator) -> None:
    """PACK: computed values side by side along a new axis behind the batch."""
    values = [draft.value(operator, index) for index in range(max(len(operator.inputs), 1))]
    rank = len(values[0].shape) + 1
    axis = Options(operator, _PACK).whole(1)
    if len({value.shape for value in values}) != 1 or len({v.kind for v in values}) != 1:
        raise UnsupportedError("expected values of one shape and one kind")
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis behind the batch, got {axis}")
    axis %= rank
    for place in operator.inputs:
        draft.refuse_packed(place)
        check_moved(draft, place, operator.output)
    shape = values[0].shape
    parts = [reshaped(draft, value, (*shape[:axis], 1, *shape[axis:])) for value in values]
    name = draft.emit("Concat", [part.name for part in parts], axis=axis_of(axis, rank))
    packed = replace(parts[0], name=name, shape=(*shape[:axis], len(parts), *shape[axis:]))
    give_moved(draft, operator.inputs[0], operator.output, packed)


def unpack(draft: Draft, operator: Operator) -> None:
    """UNPACK: each element along an axis behind the batch as a value of its own."""
    value, axis = draft.value(operator), Options(operator, _UNPACK).whole(1)
    rank, count = len(value.shape), len(operator.outputs)
    draft.refuse_packed(operator.inputs[0])
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis behind the batch, got {axis}")
    axis %= rank
    if value.shape[axis] != count:
        raise ArtifactError(f"expected {count} elements of {value.shape} along axis {axis}")
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    for index, place in enumerate(operator.outputs):
        part = take(draft, value, {axis: np.array([index])})
        give_moved(draft, operator.inputs[0], place, reshaped(draft, part, shape))


def depth_to_space(draft: Draft, operator: Operator) -> None:
    """DEPTH_TO_SPACE: the channels of a pixel become a block of pixels, row by row."""
    value, block = draft.value(operator), Options(operator, _DEPTH_TO_SPACE).whole(0)
    draft.refuse_packed(operator.inputs[0])
    batch, height, width, channels = map_of(value)
    if block < 1 or channels % block**2:
        raise ArtifactError(f"{channels} channels are no blocks of {block} x {block} pixels")
    depth = channels // block**2
    inner = draft.constant([0, block, block, depth, height, width], np.int64)
    name = draft.emit("Reshape", [value.name, inner])
    name = draft.emit("Transpose", [name], perm=[0, 3, 4, 1, 5, 2])
    outer = draft.constant([0, depth, height * block, width * block], np.int64)
    name = draft.emit("Reshape", [name, outer])
    shape = (batch, height * block, width * block, depth)
    give_moved(draft, operator.inputs[0], operator.output, replace(value, name=name, shape=shape))


def space_to_depth(draft: Draft, operator: Operator) -> None:
    """SPACE_TO_DEPTH: a block of pixels becomes the channels of one."""
    value, block = draft.value(operator), Options(operator, _SPACE_TO_DEPTH).whole(0)
    draft.refuse_packed(operator.inputs[0])
    batch, height, width, channels = map_of(value)
    if block < 1 or height % block or width % block:
        raise ArtifactError(f"a map {(height, width)} is no blocks of {block} x {block} pixels")
    rows, columns = height // block, width // block
    inner = draft.constant([0, channels, rows, block, columns, block], np.int64)
    name = draft.emit("Reshape", [value.name, inner])
    name = draft.emit("Transpose", [name], perm=[0, 3, 5, 1, 2, 4])
    outer = draft.constant([0, channels * block**2, rows, columns], np.int64)
    name = draft.emit("Reshape", [name, outer])
    shape = (batch, rows, columns, channels * block**2)
    give_moved(draft, operator.inputs[0], operator.output, replace(value, name=name, shape=shape))
