"""What to do about inputs of another dtype or shape than the network takes."""

from typing import Any

import numpy as np

from bnnkit.runtime.memory.values import Array

_LARGEST = 255
"""The largest value of a uint8 image."""
_AXES_OF_AN_IMAGE = 3
_CHANNELS = (1, 3, 4)
"""The numbers of channels by which an axis is recognised as that of the channels."""


def input_hint(inputs: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Return how to convert inputs that were refused, as the end of an error message.

    Args:
        inputs: The inputs, of any dtype and shape.
        shape: The shape of one input, as the network takes it.
        dtype: The element type that the network takes.

    Returns:
        One or two hints, each with a leading semicolon; "" if no conversion is known.
    """
    hints = (_shape_hint(inputs.shape, shape), _dtype_hint(inputs, dtype, len(shape)))
    return "".join(f"; {hint}" for hint in hints if hint)


def _shape_hint(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if found == shape:
        return "add the batch axis: inputs[None]"
    if len(shape) != 3:
        return ""
    channels, height, width = shape
    if channels == 1 and len(found) == 3 and found[1:] == (height, width):
        return "add the axis of the channel: inputs[:, None]"
    if channels in _CHANNELS and found[1:] == (height, width, channels):
        return "its channels are last: inputs.transpose(0, 3, 1, 2)"
    if width in _CHANNELS and channels not in _CHANNELS and found[1:] == (width, channels, height):
        return "this model takes channels last: inputs.transpose(0, 2, 3, 1)"
    return ""


def _dtype_hint(inputs: Array, dtype: np.dtype[Any], n_axes: int) -> str:
    if inputs.dtype == dtype or inputs.dtype.kind not in "fiub":
        return ""
    if dtype == np.uint8:
        return _pixel_hint(inputs)
    if inputs.dtype == np.uint8 and n_axes == _AXES_OF_AN_IMAGE:
        return f"convert them as in training, such as inputs.astype({_name(dtype)}) / 255"
    return f"convert them: inputs.astype({_name(dtype)})"


def _pixel_hint(inputs: Array) -> str:
    """Return how numbers become pixels of 0 to 255; depends on the range that they span."""
    if inputs.size == 0 or inputs.dtype.kind == "b":
        return ""
    low, high = float(inputs.min()), float(inputs.max())
    if inputs.dtype.kind == "f" and low >= 0 and high <= 1:
        return (
            "the values are from 0 to 1, the model takes pixels from 0 to 255: "
            "np.rint(255 * inputs).astype(np.uint8)"
        )
    if low >= 0 and high <= _LARGEST:
        rounded = "np.rint(inputs)" if inputs.dtype.kind == "f" else "inputs"
        return f"convert them: {rounded}.astype(np.uint8)"
    return (
        f"the model takes pixels from 0 to 255 without normalisation, got {low:g} to {high:g}: "
        "give it the images as they are stored"
    )


def _name(dtype: np.dtype[Any]) -> str:
    return f"np.{dtype.name}"
