"""Operators that move numbers and signs about."""

from dataclasses import replace
from math import prod

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.tflite.draft import Draft
from bnnkit.runtime.tflite.network import Operator
from bnnkit.runtime.tflite.numbers import give_real, real, scale_of
from bnnkit.runtime.tflite.options import Options
from bnnkit.runtime.tflite.values import (
    NHWC_TO_NCHW,
    WORD_BITS,
    Shape,
    Value,
    axis_of,
    n_words,
)
from bnnkit.tflite_schema import TensorType

_CONCATENATION = 10
_CODES = {0: 2, -1: 0}
"""What padding with a word means for its signs, as codes."""


def reshape(draft: Draft, operator: Operator) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS, to the shape that the file gives the output."""
    value, tensor = draft.value(operator), draft.tensor(operator.output)
    if value.kind == "signs" and tensor.type != TensorType.BOOL:
        value = _in_whole_words(draft, value)
        shape: Shape = (*tensor.shape[:-1], WORD_BITS * (tensor.shape or (0,))[-1])
    else:
        shape = tensor.shape
    if prod(shape) != prod(value.shape) or not shape or shape[0] != value.shape[0]:
        raise UnsupportedError(
            f"expected a shape with the same batch and as many numbers as {value.shape}, got"
            f" {shape}"
        )
    _give(draft, operator, replace(value, name=_reshaped(draft, value, shape), shape=shape))


def _reshaped(draft: Draft, value: Value, shape: Shape) -> str:
    one_pixel = len(shape) == 4 and shape[1] == shape[2] == 1
    in_order = len(shape) != 4 or one_pixel or shape[3] == 1
    sizes = [shape[axis] for axis in NHWC_TO_NCHW] if len(shape) == 4 and in_order else shape
    target = draft.constant([0, *sizes[1:]], np.int64)
    name = draft.emit("Reshape", [draft.in_file_order(value), target])
    return name if in_order else draft.to_nchw(name, 4)


def _in_whole_words(draft: Draft, value: Value) -> Value:
    """Signs with those that fill the last word of a pixel: clear bits, +1."""
    *outer, channels = value.shape
    filled = n_words(channels) * WORD_BITS
    if filled == channels:
        return value
    widths = np.zeros((2, len(value.shape)), np.int64)
    widths[1, axis_of(-1, len(value.shape))] = filled - channels
    inputs = [value.name, draft.constant(widths.ravel(), np.int64), draft.constant(2, np.uint8)]
    return replace(value, name=draft.emit("Pad", inputs), shape=(*outer, filled))


def transpose(draft: Draft, operator: Operator) -> None:
    """TRANSPOSE, with the batch in front, and the words of packed signs behind."""
    value, perm = draft.value(operator), draft.constant_of(operator, 1).reshape(-1).tolist()
    rank = len(value.shape)
    if sorted(perm) != list(range(rank)) or perm[0] != 0:
        raise UnsupportedError(f"expected {rank} axes with the batch first, got {perm}")
    if value.kind == "signs" and perm[-1] != rank - 1:
        raise UnsupportedError("expected the words of packed signs to stay last")
    inner = perm
    if rank == 4:
        inner = [axis_of(perm[axis], rank) for axis in NHWC_TO_NCHW]
    name = draft.emit("Transpose", [value.name], perm=inner)
    shape = tuple(value.shape[axis] for axis in perm)
    _give(draft, operator, replace(value, name=name, shape=shape))


def pad(draft: Draft, operator: Operator) -> None:
    """PAD and PADV2; packed signs are padded with words of +1 or of -1."""
    value, widths = draft.value(operator), draft.constant_of(operator, 1)
    rank = len(value.shape)
    if widths.shape != (rank, 2) or (widths < 0).any() or widths[0].any():
        raise UnsupportedError(f"expected widths behind the batch, got {widths.tolist()}")
    fill = _fill(draft, operator, value)
    if value.kind == "signs" and widths[-1].any():
        raise UnsupportedError("expected packed signs to be padded around the map only")
    order = list(NHWC_TO_NCHW) if rank == 4 else list(range(rank))
    pads = draft.constant(widths[order].T.ravel(), np.int64)
    name = draft.emit("Pad", [value.name, pads, fill])
    sizes = (np.array(value.shape) + widths.sum(axis=1)).tolist()
    _give(draft, operator, replace(value, name=name, shape=tuple(sizes)))


def _fill(draft: Draft, operator: Operator, value: Value) -> str:
    """The number to pad with, as the value has its numbers."""
    given = draft.constant_of(operator, 2).reshape(-1) if draft.is_given(operator, 2) else None
    if given is not None and given.size != 1:
        raise ArtifactError(f"expected one number to pad with, got {given.size}")
    if value.kind == "signs":
        word = 0 if given is None else int(given[0])
        if word not in _CODES:
            raise UnsupportedError(f"expected packed signs to be padded with 0 or -1, got {word}")
        return draft.constant(_CODES[word], np.uint8)
    if value.kind == "quantized" and given is not None:
        _, zero_point = scale_of(draft.tensor(operator.inputs[0]))
        return draft.constant(float(given[0]) - zero_point)
    if value.kind == "plain":
        raise UnsupportedError("expected numbers with a meaning, got plain whole ones")
    return draft.constant(0.0 if given is None else float(given[0]))


def concatenation(draft: Draft, operator: Operator) -> None:
    """CONCATENATION of computed maps."""
    values = [draft.value(operator, index) for index in range(len(operator.inputs))]
    options, rank = Options(operator, _CONCATENATION), len(values[0].shape)
    axis = options.whole(0)
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis behind the batch, got {axis}")
    axis %= rank
    shapes = [value.shape for value in values]
    outer = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(outer) != 1:
        raise ArtifactError(f"the shapes {shapes} do not fit each other")
    names = [real(draft, value) for value in values]
    name = draft.emit("Concat", names, axis=axis_of(axis, rank))
    total = sum(shape[axis] for shape in shapes)
    shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
    give_real(draft, operator, name, shape, options.byte(1))


def _give(draft: Draft, operator: Operator, value: Value) -> None:
    """A moved value is an operator's output, which must mean the same as the input.

    Raises:
        UnsupportedError: The output has another type or scale.
    """
    source, target = (draft.tensor(place) for place in (operator.inputs[0], operator.output))
    if source.type != target.type:
        raise UnsupportedError(f"expected {source.type.name} to stay so, got {target.type.name}")
    if value.kind == "quantized":
        before, after = source.quantization, target.quantization
        if (
            after is None
            or before is None
            or not (
                np.array_equal(before.scale, after.scale)
                and np.array_equal(before.zero_point, after.zero_point)
            )
        ):
            raise UnsupportedError("expected input and output of one scale")
    draft.give(operator.output, value)
