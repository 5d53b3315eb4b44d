"""Builtin operators that several layers need, each on tensors."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite.draft import DTYPES, Draft
from bnnkit.export.tflite.follow import Follow, Thresholds, minus
from bnnkit.tflite import options
from bnnkit.tflite.options import Options
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.window import Pads

_OPTIONS: Final[dict[Builtin, Options]] = {
    Builtin.ADD: options.ADD,
    Builtin.SUB: options.SUB,
    Builtin.MUL: options.MUL,
    Builtin.DIV: options.DIV,
    Builtin.MAXIMUM: options.MAXIMUM_MINIMUM,
    Builtin.MINIMUM: options.MAXIMUM_MINIMUM,
}


def spread_shape(draft: Draft, *tensors: int) -> tuple[int, ...]:
    """The shape of tensors that are spread along axes of size 1."""
    return np.broadcast_shapes(*map(draft.shape, tensors))


def elementwise(draft: Draft, code: Builtin, left: int, right: int) -> int:
    """An operator on two tensors that may be spread along axes of size 1."""
    shape = spread_shape(draft, left, right)
    return draft.emit(code, [left, right], shape, options=_OPTIONS[code])


def add(draft: Draft, tensor: int, numbers: NDArray[Any]) -> int:
    """The tensor and a constant, one rounding."""
    constant = draft.constant(numbers.astype(np.float32))
    return elementwise(draft, Builtin.ADD, tensor, constant)


def scale(draft: Draft, tensor: int, numbers: NDArray[Any]) -> int:
    """The tensor times a constant, one rounding."""
    constant = draft.constant(numbers.astype(np.float32))
    return elementwise(draft, Builtin.MUL, tensor, constant)


def at_least(draft: Draft, left: int, right: int) -> int:
    """BOOL: where left >= right, of tensors that may be spread along axes of size 1."""
    shape = spread_shape(draft, left, right)
    inputs, chosen = [left, right], options.GREATER_EQUAL
    return draft.emit(Builtin.GREATER_EQUAL, inputs, shape, kind=TensorType.BOOL, options=chosen)


def finish(draft: Draft, sums: int, follow: Follow) -> int:
    """What follows exact sums, as operators of its own.

    The difference of a sum and a threshold has the right sign: rounding never changes that.
    """
    if isinstance(follow, Thresholds):
        return draft.signs.of_reals(draft, add(draft, sums, minus(follow.values)))
    if (follow.scale != 1).any():
        sums = scale(draft, sums, follow.scale)
    return add(draft, sums, follow.bias) if follow.bias.any() else sums


def pad(draft: Draft, tensor: int, pads: Pads, value: float | None = None) -> int:
    """Pixels around a map (N, H, W, C): of zeros, or of `value`, in the type of the map."""
    top, left, bottom, right = pads
    widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    batch, height, width, channels = draft.shape(tensor)
    shape = (batch, height + top + bottom, width + left + right, channels)
    inputs, kind = [tensor, draft.constant(widths)], draft.type(tensor)
    if value is None:
        return draft.emit(Builtin.PAD, inputs, shape, kind=kind, options=options.PAD)
    inputs.append(draft.constant(np.array([value], DTYPES[kind])))
    return draft.emit(Builtin.PADV2, inputs, shape, kind=kind, options=options.PADV2)


def reshape(draft: Draft, tensor: int, shape: Sequence[int]) -> int:
    """The same elements in another shape."""
    if tuple(shape) == draft.shape(tensor):
        return tensor
    inputs = [tensor, draft.integers(*shape)]
    kind = draft.type(tensor)
    return draft.emit(Builtin.RESHAPE, inputs, shape, kind=kind, options=options.RESHAPE)


def transpose(draft: Draft, tensor: int, order: Sequence[int]) -> int:
    """The axes in another order."""
    shape = [draft.shape(tensor)[axis] for axis in order]
    inputs, kind = [tensor, draft.integers(*order)], draft.type(tensor)
    return draft.emit(Builtin.TRANSPOSE, inputs, shape, kind=kind, options=options.TRANSPOSE)


def cut(draft: Draft, tensor: int, ranges: dict[int, range]) -> int:
    """Some of the elements along some axes; the steps are positive."""
    sizes = draft.shape(tensor)
    whole = [ranges.get(axis, range(size)) for axis, size in enumerate(sizes)]
    shape = [len(part) for part in whole]
    if shape == list(sizes):
        return tensor
    limits = zip(*((part.start, part.stop, part.step) for part in whole), strict=True)
    inputs = [tensor, *(draft.integers(*numbers) for numbers in limits)]
    return draft.emit(
        Builtin.STRIDED_SLICE,
        inputs,
        shape,
        kind=draft.type(tensor),
        options=options.STRIDED_SLICE,
    )


def channels(draft: Draft, tensor: int, start: int, stop: int) -> int:
    """Some of the last axis of a map."""
    return cut(draft, tensor, {len(draft.shape(tensor)) - 1: range(start, stop)})


def concatenate(draft: Draft, tensors: Sequence[int], axis: int) -> int:
    """Tensors behind one another."""
    shape = list(draft.shape(tensors[0]))
    shape[axis] = sum(draft.shape(tensor)[axis] for tensor in tensors)
    return draft.emit(
        Builtin.CONCATENATION,
        tensors,
        shape,
        kind=draft.type(tensors[0]),
        options=options.concatenation(axis % len(shape)),
    )
