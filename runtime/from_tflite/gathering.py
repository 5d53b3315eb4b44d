"""Translates operators that pick elements along axes by constant indices."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.numbers import give_moved
from bnnkit.runtime.from_tflite.onnx_builder import OnnxBuilder
from bnnkit.runtime.from_tflite.shaping import reshaped
from bnnkit.runtime.from_tflite.values import OnnxValue, Shape, axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.options import GatherOptions, MirrorPadOptions
from bnnkit.tflite.schema import MirrorPadMode

_MODES: Final[dict[MirrorPadMode, Literal["reflect", "symmetric"]]] = {
    MirrorPadMode.REFLECT: "reflect",
    MirrorPadMode.SYMMETRIC: "symmetric",
}

Indices = NDArray[np.int64]


def take(builder: OnnxBuilder, value: OnnxValue, indices: Mapping[int, Indices]) -> OnnxValue:
    """Pick elements of a value, in any order and any number of times.

    Args:
        builder: Gets the nodes.
        value: The value to pick from.
        indices: By the axis, as in TFLite; other axes stay whole.
    """
    shape, name = list(value.shape), value.name
    for axis, chosen in indices.items():
        shape[axis] = len(chosen)
        builder.budget.spend_values(prod(shape[1:]))
        constant = builder.constant(chosen, np.int64)
        name = builder.emit("Gather", [name, constant], axis=axis_of(axis, len(shape)))
    if name == value.name:
        name = builder.emit("Identity", [name])
    return replace(value, name=name, shape=tuple(shape))


def _give(
    builder: OnnxBuilder, operator: Operator, value: OnnxValue, indices: Mapping[int, Indices]
) -> None:
    builder.refuse_packed(operator.inputs[0])
    taken = take(builder, value, indices)
    give_moved(builder, operator.inputs[0], operator.output, taken)


def gather(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate GATHER with one or more constant indices along an axis other than the batch."""
    value, options = builder.value(operator), operator.options_as(GatherOptions)
    rank, found = len(value.shape), builder.whole_numbers(operator, 1)
    axis = options.axis
    if options.batch_dims or found.ndim > 1:
        raise UnsupportedError("expected a vector of indices, without batch dimensions")
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis other than the batch, got {axis}")
    axis %= rank
    indices = found.reshape(-1)
    if indices.size == 0 or indices.min() < 0 or indices.max() >= value.shape[axis]:
        raise ArtifactError(f"the indices are out of bounds of {value.shape} along axis {axis}")
    builder.refuse_packed(operator.inputs[0])
    taken = take(builder, value, {axis: indices})
    if found.ndim == 0:
        taken = reshaped(builder, taken, (*taken.shape[:axis], *taken.shape[axis + 1 :]))
    give_moved(builder, operator.inputs[0], operator.output, taken)


def tile(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate TILE: repeat the whole value along axes other than the batch."""
    value, times = builder.value(operator), builder.whole_numbers(operator, 1).reshape(-1)
    sizes = [count * size for count, size in zip(times.tolist(), value.shape, strict=False)]
    _check_sizes(builder, operator, value.shape, sizes)
    indices = {
        axis: np.tile(np.arange(value.shape[axis]), count)
        for axis, count in enumerate(times.tolist())
        if count != 1
    }
    _give(builder, operator, value, indices)


def broadcast_to(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate BROADCAST_TO: repeat axes of one element."""
    value, target = builder.value(operator), builder.tensor(operator.output).shape
    _check_sizes(builder, operator, value.shape, target)
    indices = {}
    for axis, (size, wanted) in enumerate(zip(value.shape, target, strict=True)):
        if size not in (1, wanted):
            raise ArtifactError(f"the shape {value.shape} does not broadcast to {target}")
        if size != wanted:
            indices[axis] = np.zeros(wanted, np.int64)
    _give(builder, operator, value, indices)


def reverse(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate REVERSE_V2 along axes other than the batch."""
    value, axes = builder.value(operator), builder.whole_numbers(operator, 1).reshape(-1).tolist()
    rank = len(value.shape)
    if any(not -rank <= axis < rank or axis % rank == 0 for axis in axes):
        raise UnsupportedError(f"expected axes other than the batch, got {axes}")
    indices = {axis % rank: np.arange(value.shape[axis])[::-1].copy() for axis in axes}
    _give(builder, operator, value, indices)


def mirror_pad(builder: OnnxBuilder, operator: Operator) -> None:
    """Translate MIRROR_PAD, which pads with a mirror image of the border."""
    value, widths = builder.value(operator), builder.whole_numbers(operator, 1)
    mode = _MODES[operator.options_as(MirrorPadOptions).mode]
    rank = len(value.shape)
    if widths.shape != (rank, 2) or widths[0].any():
        raise UnsupportedError(
            f"expected padding of axes other than the batch, got {widths.tolist()}"
        )
    most = [size - (mode == "reflect") for size in value.shape]
    if (widths < 0).any() or (widths.max(axis=1) > most).any():
        raise ArtifactError(f"the padding {widths.tolist()} exceeds the shape {value.shape}")
    indices = {
        axis: np.pad(np.arange(value.shape[axis]), widths[axis].tolist(), mode=mode)
        for axis in range(1, rank)
        if widths[axis].any()
    }
    _give(builder, operator, value, indices)


def _check_sizes(
    builder: OnnxBuilder, operator: Operator, shape: Shape, sizes: Sequence[int]
) -> None:
    """Check that the shape of a result keeps the batch, is the file's, and within the budget."""
    target = builder.tensor(operator.output).shape
    if len(target) != len(shape) or target[:1] != shape[:1]:
        raise UnsupportedError(f"expected {shape} with the same batch and axes, got {target}")
    if tuple(sizes) != target or min(target) < 1:
        raise ArtifactError(f"expected the shape {tuple(sizes)}, the file says {target}")
    builder.budget.spend_values(prod(target[1:]))
