"""Translates RESHAPE, TRANSPOSE, PAD and the like."""

from dataclasses import replace
from math import prod

import numpy as np

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.lce_operators import with_channels
from bnnkit.runtime.from_tflite.numbers import give_moved, scale_of
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.values import (
    NHWC_TO_NCHW,
    WORD_BITS,
    OnnxValue,
    Shape,
    axis_of,
    whole_words,
)
from bnnkit.tflite.network import Operator

_CODES = {0: 2, -1: 0}
"""Code of the signs in a word that is used for padding."""


def reshape(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate RESHAPE, SQUEEZE and EXPAND_DIMS, to the shape of the output in the file."""
    value, shape = builder.value(operator), builder.tensor(operator.output).shape
    if builder.is_packed(operator.inputs[0]):
        value = with_channels(builder, value, whole_words(value))
        shape = (*shape[:-1], WORD_BITS * (shape or (0,))[-1])
    give_moved(builder, operator.inputs[0], operator.output, reshaped(builder, value, shape))


def reshaped(builder: OnnxBuilder, value: OnnxValue, shape: Shape) -> OnnxValue:
    """The same elements, in the order of the file, in another shape.

    Raises:
        UnsupportedError: The shape has another number of elements, or another batch.
    """
    if prod(shape) != prod(value.shape) or not shape or shape[0] != value.shape[0]:
        raise UnsupportedError(
            f"expected a shape with the same batch and as many numbers as {value.shape}, got"
            f" {shape}"
        )
    one_pixel = len(shape) == 4 and shape[1] == shape[2] == 1
    in_order = len(shape) != 4 or one_pixel or shape[3] == 1
    sizes = [shape[axis] for axis in NHWC_TO_NCHW] if len(shape) == 4 and in_order else shape
    target = builder.constant([0, *sizes[1:]], np.int64)
    name = builder.emit("Reshape", [builder.in_file_order(value), target])
    return replace(value, name=name if in_order else builder.to_nchw(name, 4), shape=shape)


def transpose(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate TRANSPOSE that keeps the batch first, and words of packed signs last."""
    value, perm = builder.value(operator), builder.whole_numbers(operator, 1).reshape(-1).tolist()
    rank = len(value.shape)
    if sorted(perm) != list(range(rank)) or perm[0] != 0:
        raise UnsupportedError(f"expected {rank} axes with the batch first, got {perm}")
    if builder.is_packed(operator.inputs[0]) and perm[-1] != rank - 1:
        raise UnsupportedError("expected the words of packed signs to stay last")
    inner = perm
    if rank == 4:
        inner = [axis_of(perm[axis], rank) for axis in NHWC_TO_NCHW]
    name = builder.emit("Transpose", [value.name], perm=inner)
    shape = tuple(value.shape[axis] for axis in perm)
    give_moved(
        builder, operator.inputs[0], operator.output, replace(value, name=name, shape=shape)
    )


def pad(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate PAD and PADV2; packed signs are padded with words of +1 or of -1."""
    value, widths = builder.value(operator), builder.whole_numbers(operator, 1)
    rank = len(value.shape)
    if widths.shape != (rank, 2) or (widths < 0).any() or widths[0].any():
        raise UnsupportedError(
            f"expected padding of axes other than the batch, got {widths.tolist()}"
        )
    if value.kind == "signs" and not builder.is_packed(operator.inputs[0]):
        raise UnsupportedError("expected numbers or packed signs to pad, got bools")
    fill = _fill(builder, operator, value)
    if value.kind == "signs" and widths[-1].any():
        raise UnsupportedError("expected packed signs to be padded around the map only")
    order = list(NHWC_TO_NCHW) if rank == 4 else list(range(rank))
    pads = builder.constant(widths[order].T.ravel(), np.int64)
    name = builder.emit("Pad", [value.name, pads, fill])
    sizes = (np.array(value.shape) + widths.sum(axis=1)).tolist()
    give_moved(
        builder, operator.inputs[0], operator.output, replace(value, name=name, shape=tuple(sizes))
    )


def _fill(builder: OnnxBuilder, operator: Operator, value: OnnxValue) -> str:
    """Name of the number to pad with, in the units of the value."""
    given = builder.constant_of(operator, 2).reshape(-1) if builder.is_given(operator, 2) else None
    if given is not None and given.size != 1:
        raise ArtifactError(f"expected one number to pad with, got {given.size}")
    if value.kind == "signs":
        word = 0 if given is None else int(builder.whole_numbers(operator, 2).reshape(-1)[0])
        if word not in _CODES:
            raise UnsupportedError(f"expected packed signs to be padded with 0 or -1, got {word}")
        if word and value.shape[-1] % WORD_BITS:
            raise UnsupportedError(
                f"padding with -1 would set unused bits of the words of {value.shape[-1]} channels"
            )
        return builder.constant(_CODES[word], np.uint8)
    if value.kind == "quantized" and given is not None:
        _, zero_point = scale_of(builder.tensor(operator.inputs[0]))
        return builder.constant(float(given[0]) - zero_point)
    if value.kind == "plain":
        raise UnsupportedError("expected float32, or integers with a scale, got integers without")
    return builder.constant(0.0 if given is None else float(given[0]))
