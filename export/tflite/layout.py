"""Values in the layout that a reader wants; the table of layouts is in values.py."""

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.values import Map, Value
from bnnkit.export.tflite.window import NO_PADS


def settled(draft: Draft, value: Value) -> Value:
    """A value without a margin: its +1 are in memory."""
    if value.margin == NO_PADS or value.map is None:
        return value
    key = (value.tensor, value.margin)
    if key not in draft.padded:
        draft.padded[key] = arithmetic.pad(draft, value.tensor, value.margin, draft.signs.plus)
    channels, height, width = value.map
    top, left, bottom, right = value.margin
    whole = (channels, height + top + bottom, width + left + right)
    return replace(value, tensor=draft.padded[key], map=whole, margin=NO_PADS)


def as_map(draft: Draft, value: Value) -> tuple[int, Map]:
    """A map or a vector as (N, H, W, C): the tensor, and (C, H, W).

    Raises:
        UnsupportedError: It is neither.
    """
    if value.map is not None:
        return value.tensor, value.map
    if len(value.shape) != 1:
        raise UnsupportedError(f"expected a map or a vector, got the shape (N, *{value.shape})")
    pixel = (value.shape[0], 1, 1)
    return arithmetic.reshape(draft, value.tensor, (draft.batch, 1, 1, value.shape[0])), pixel


def as_onnx(draft: Draft, value: Value) -> int:
    """The tensor in ONNX's order of the axes, and of the elements of a flattened map."""
    if value.map is None:
        return value.tensor
    channels, height, width = value.map
    tensor = value.tensor
    if channels > 1 and height * width > 1:
        tensor = arithmetic.transpose(draft, tensor, (0, 3, 1, 2))
    return arithmetic.reshape(draft, tensor, (draft.batch, *value.shape))


def plain(draft: Draft, value: Value) -> Value:
    """A value whose tensor is as in ONNX."""
    return replace(value, tensor=as_onnx(draft, value), map=None)


def real(value: Value, tensor: int, **changes: Any) -> Value:
    """A real value like another one."""
    return replace(value, kind="real", tensor=tensor, **changes)


def constant_beside(value: Value, numbers: NDArray[Any]) -> NDArray[Any]:
    """A constant operand, which ONNX spreads over a value, in the layout of the value.

    Raises:
        UnsupportedError: It has more axes than the value, or differs within the batch.
    """
    n_axes = 1 + len(value.shape)
    full = numbers.reshape((1,) * (n_axes - numbers.ndim) + numbers.shape)
    if full.ndim != n_axes or full.shape[0] != 1:
        raise UnsupportedError(
            f"a constant of shape {numbers.shape} does not spread over (N, *{value.shape})"
        )
    if value.map is None:
        return full
    if len(value.shape) == 1:
        full = full.reshape(1, *(value.map if full.size > 1 else (1, 1, 1)))
    return full.transpose(0, 2, 3, 1)
