"""Operators that pick elements along axes, by indices that are known before the image is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime.from_tflite.draft import Draft
from bnnkit.runtime.from_tflite.numbers import give_moved
from bnnkit.runtime.from_tflite.shaping import reshaped
from bnnkit.runtime.from_tflite.values import Shape, Value, axis_of
from bnnkit.tflite.network import Operator
from bnnkit.tflite.read_options import Options

_GATHER, _MIRROR_PAD = 23, 77
_MODES: Final[dict[int, Literal["reflect", "symmetric"]]] = {0: "reflect", 1: "symmetric"}

Indices = NDArray[np.int64]


def take(draft: Draft, value: Value, indices: Mapping[int, Indices]) -> Value:
    """Elements of a value, in any order and as often as is wanted.

    Args:
        draft: Gets the nodes.
        value: From which.
        indices: By the axis, as in TFLite; axes that are left out stay whole.
    """
    shape, name = list(value.shape), value.name
    for axis, chosen in indices.items():
        shape[axis] = len(chosen)
        draft.budget.spend_values(prod(shape[1:]))
        constant = draft.constant(chosen, np.int64)
        name = draft.emit("Gather", [name, constant], axis=axis_of(axis, len(shape)))
    if name == value.name:
        name = draft.emit("Identity", [name])
    return replace(value, name=name, shape=tuple(shape))


def _give(draft: Draft, operator: Operator, value: Value, indices: Mapping[int, Indices]) -> None:
    draft.refuse_packed(operator.inputs[0])
    taken = take(draft, value, indices)
    give_moved(draft, operator.inputs[0], operator.output, taken)


def gather(draft: Draft, operator: Operator) -> None:
    """GATHER with constant indices, one or a row of them, along an axis behind the batch."""
    value, options = draft.value(operator), Options(operator, _GATHER)
    rank, found = len(value.shape), draft.whole_numbers(operator, 1)
    axis = options.whole(0)
    if options.whole(1) or found.ndim > 1:
        raise UnsupportedError("expected a row of indices without a batch of its own")
    if not -rank <= axis < rank or axis % rank == 0:
        raise UnsupportedError(f"expected an axis behind the batch, got {axis}")
    axis %= rank
    indices = found.reshape(-1)
    if indices.size == 0 or indices.min() < 0 or indices.max() >= value.shape[axis]:
        raise ArtifactError(f"the indices are not inside {value.shape} along axis {axis}")
    draft.refuse_packed(operator.inputs[0])
    taken = take(draft, value, {axis: indices})
    if found.ndim == 0:
        taken = reshaped(draft, taken, (*taken.shape[:axis], *taken.shape[axis + 1 :]))
    give_moved(draft, operator.inputs[0], operator.output, taken)


def tile(draft: Draft, operator: Operator) -> None:
    """TILE: the whole value, several times along each axis behind the batch."""
    value, times = draft.value(operator), draft.whole_numbers(operator, 1).reshape(-1)
    sizes = [count * size for count, size in zip(times.tolist(), value.shape, strict=False)]
    _check_sizes(draft, operator, value.shape, sizes)
    indices = {
        axis: np.tile(np.arange(value.shape[axis]), count)
        for axis, count in enumerate(times.tolist())
        if count != 1
    }
    _give(draft, operator, value, indices)


def broadcast_to(draft: Draft, operator: Operator) -> None:
    """BROADCAST_TO: axes of one element, repeated."""
    value, target = draft.value(operator), draft.tensor(operator.output).shape
    _check_sizes(draft, operator, value.shape, target)
    indices = {}
    for axis, (size, wanted) in enumerate(zip(value.shape, target, strict=True)):
        if size not in (1, wanted):
            raise ArtifactError(f"the shape {value.shape} cannot be repeated to {target}")
        if size != wanted:
            indices[axis] = np.zeros(wanted, np.int64)
    _give(draft, operator, value, indices)


def reverse(draft: Draft, operator: Operator) -> None:
    """REVERSE_V2 along axes behind the batch."""
    value, axes = draft.value(operator), draft.whole_numbers(operator, 1).reshape(-1).tolist()
    rank = len(value.shape)
    if any(not -rank <= axis < rank or axis % rank == 0 for axis in axes):
        raise UnsupportedError(f"expected axes behind the batch, got {axes}")
    indices = {axis % rank: np.arange(value.shape[axis])[::-1].copy() for axis in axes}
    _give(draft, operator, value, indices)


def mirror_pad(draft: Draft, operator: Operator) -> None:
    """MIRROR_PAD: the border is mirrored, with or without its outermost elements twice."""
    value, widths = draft.value(operator), draft.whole_numbers(operator, 1)
    mode = _MODES.get(Options(operator, _MIRROR_PAD).byte(0))
    rank = len(value.shape)
    if mode is None or widths.shape != (rank, 2) or widths[0].any():
        raise UnsupportedError(f"expected widths behind the batch, got {widths.tolist()}")
    most = [size - (mode == "reflect") for size in value.shape]
    if (widths < 0).any() or (widths.max(axis=1) > most).any():
        raise ArtifactError(f"widths {widths.tolist()} cannot be mirrored from {value.shape}")
    indices = {
        axis: np.pad(np.arange(value.shape[axis]), widths[axis].tolist(), mode=mode)
        for axis in range(1, rank)
        if widths[axis].any()
    }
    _give(draft, operator, value, indices)


def _check_sizes(draft: Draft, operator: Operator, shape: Shape, sizes: Sequence[int]) -> None:
    """As many axes, the batch as it is, the shape that the file says, and not too large."""
    target = draft.tensor(operator.output).shape
    if len(target) != len(shape) or target[:1] != shape[:1]:
        raise UnsupportedError(f"expected {shape} with the same batch and axes, got {target}")
    if tuple(sizes) != target or min(target) < 1:
        raise ArtifactError(f"expected the shape {tuple(sizes)}, the file says {target}")
    draft.budget.spend_values(prod(target[1:]))
