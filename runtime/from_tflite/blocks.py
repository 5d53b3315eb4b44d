"""Translates operators that change the number of axes or channels."""

from dataclasses import replace

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.gathering import take
from bnnkit.runtime.from_tflite.lce_operators import map_of
from bnnkit.runtime.from_tflite.numbers import check_moved, give_moved
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.shaping import reshaped
from bnnkit.runtime.from_tflite.values import axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import BlockOptions, PackOptions, UnpackOptions


def pack(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate PACK: stack computed values along a new axis other than the batch."""
    values = [builder.value(operator, index) for index in range(max(len(operator.inputs), 1))]
    rank = len(values[0].shape) + 1
    axis = operator.options_as(PackOptions).axis
    if len({value.shape for value in values}) != 1 or len({v.kind for v in values}) != 1:
        raise UnsupportedError("expected values of the same shape and kind")
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis other than the batch, got {axis}")
    axis %= rank
    for place in operator.inputs:
        builder.refuse_packed(place)
        check_moved(builder, place, operator.output)
    shape = values[0].shape
    parts = [reshaped(builder, value, (*shape[:axis], 1, *shape[axis:])) for value in values]
    name = builder.emit("Concat", [part.name for part in parts], axis=axis_of(axis, rank))
    packed = replace(parts[0], name=name, shape=(*shape[:axis], len(parts), *shape[axis:]))
    give_moved(builder, operator.inputs[0], operator.output, packed)


def unpack(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate UNPACK: split an axis other than the batch into its elements."""
    value, axis = builder.value(operator), operator.options_as(UnpackOptions).axis
    rank, count = len(value.shape), len(operator.outputs)
    builder.refuse_packed(operator.inputs[0])
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis other than the batch, got {axis}")
    axis %= rank
    if value.shape[axis] != count:
        raise ArtifactError(f"expected {count} elements of {value.shape} along axis {axis}")
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    for index, place in enumerate(operator.outputs):
        part = take(builder, value, {axis: np.array([index])})
        give_moved(builder, operator.inputs[0], place, reshaped(builder, part, shape))


def depth_to_space(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate DEPTH_TO_SPACE: the channels of a pixel become a block of pixels, row by row."""
    value, block = builder.value(operator), operator.options_as(BlockOptions).block_size
    builder.refuse_packed(operator.inputs[0])
    batch, height, width, channels = map_of(value)
    if block < 1 or channels % block**2:
        raise ArtifactError(
            f"{channels} channels cannot become blocks of {block} x {block} pixels"
        )
    depth = channels // block**2
    inner = builder.constant([0, block, block, depth, height, width], np.int64)
    name = builder.emit("Reshape", [value.name, inner])
    name = builder.emit("Transpose", [name], perm=[0, 3, 4, 1, 5, 2])
    outer = builder.constant([0, depth, height * block, width * block], np.int64)
    name = builder.emit("Reshape", [name, outer])
    shape = (batch, height * block, width * block, depth)
    give_moved(
        builder, operator.inputs[0], operator.output, replace(value, name=name, shape=shape)
    )


def space_to_depth(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate SPACE_TO_DEPTH: a block of pixels becomes the channels of one pixel."""
    value, block = builder.value(operator), operator.options_as(BlockOptions).block_size
    builder.refuse_packed(operator.inputs[0])
    batch, height, width, channels = map_of(value)
    if block < 1 or height % block or width % block:
        raise ArtifactError(
            f"a map {(height, width)} does not consist of blocks of {block} x {block} pixels"
        )
    rows, columns = height // block, width // block
    inner = builder.constant([0, channels, rows, block, columns, block], np.int64)
    name = builder.emit("Reshape", [value.name, inner])
    name = builder.emit("Transpose", [name], perm=[0, 3, 5, 1, 2, 4])
    outer = builder.constant([0, channels * block**2, rows, columns], np.int64)
    name = builder.emit("Reshape", [name, outer])
    shape = (batch, rows, columns, channels * block**2)
    give_moved(
        builder, operator.inputs[0], operator.output, replace(value, name=name, shape=shape)
    )
