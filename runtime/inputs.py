"""What a network takes, checked once, before anything is computed."""

from typing import Any

import numpy as np

from bnnkit.errors import UsageError
from bnnkit.runtime.values import Array


def check_inputs(inputs: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse inputs that a network does not take.

    Args:
        inputs: What shall be (N, *shape), N at least 1, of that dtype, and finite.
        shape: Of one input.
        dtype: Its element type.

    Raises:
        UsageError: They are something else; the message says what.
    """
    expected = f"expected {dtype} of shape (N, {', '.join(map(str, shape))})"
    if not isinstance(inputs, np.ndarray):
        raise UsageError(f"{expected} in a NumPy array, got {type(inputs).__name__}")
    if inputs.dtype != dtype or inputs.ndim == 0 or inputs.shape[1:] != shape:
        raise UsageError(f"{expected}, got {inputs.dtype} of shape {inputs.shape}")
    if len(inputs) == 0:
        raise UsageError(f"{expected} with N at least 1, got no images")
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        index = np.argwhere(~np.isfinite(inputs))[0].tolist()
        value = inputs[tuple(index)]
        raise UsageError(f"expected finite numbers, got {value} in the input at index {index}")
