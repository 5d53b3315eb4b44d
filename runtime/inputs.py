"""Validation of a network's inputs."""

from typing import Any

import numpy as np

from bnnkit.errors import UsageError
from bnnkit.runtime.input_hints import input_hint
from bnnkit.runtime.memory.values import Array


def check_inputs(inputs: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check type, shape and finiteness of inputs.

    Args:
        inputs: Expected to be (N, *shape) with N >= 1, of the given dtype, and finite.
        shape: Shape of one input.
        dtype: Element type.

    Raises:
        UsageError: If the inputs differ from that.
    """
    expected = f"expected {dtype} of shape (N, {', '.join(map(str, shape))})"
    if not isinstance(inputs, np.ndarray):
        raise UsageError(f"{expected} in a NumPy array, got {type(inputs).__name__}")
    if isinstance(inputs, np.ma.MaskedArray):
        raise UsageError(
            f"{expected} in a plain array, got a masked one: fill it, as with images.filled(0)"
        )
    if inputs.dtype != dtype or inputs.ndim == 0 or inputs.shape[1:] != shape:
        hint = input_hint(inputs, shape, dtype)
        raise UsageError(f"{expected}, got {inputs.dtype} of shape {inputs.shape}{hint}")
    if len(inputs) == 0:
        raise UsageError(f"{expected} with N at least 1, got no images")
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        index = np.argwhere(~np.isfinite(inputs))[0].tolist()
        value = inputs[tuple(index)]
        raise UsageError(f"expected finite numbers, got {value} in the input at index {index}")
