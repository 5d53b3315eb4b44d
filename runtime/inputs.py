"""Validation of a network's inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bnnkit.artifact.format.graph import Input
from bnnkit.artifact.format.input_batch import Batch, InputBatch
from bnnkit.errors import UsageError
from bnnkit.runtime.input_hints import input_hint
from bnnkit.runtime.memory.values import Array

GivenInputs = Array | Sequence[Array] | Mapping[str, Array] | InputBatch
"""What users give: the array of the only input, or those of all inputs in their order, or by
name."""


def as_batch(given: GivenInputs, inputs: Sequence[Input]) -> Batch:
    """Check the inputs of a network, as `check_inputs` does each.

    Args:
        given: An array for a network with one input; else a tuple or list of all in the order of
            the network, or a mapping from their names.
        inputs: The inputs of the network.

    Raises:
        UsageError: If an input is missing, unknown or not as expected, or they have different
            numbers of rows.
    """
    # An array is looked for first: to ask whether it is a Mapping takes a microsecond.
    is_array = isinstance(given, np.ndarray)
    if len(inputs) == 1 and (is_array or not isinstance(given, (tuple, Mapping, InputBatch))):
        check_inputs(given, inputs[0].shape, inputs[0].dtype)  # type: ignore[arg-type]
        return given  # type: ignore[return-value]  # it has been checked
    arrays = _by_name(given, inputs)
    for one in inputs:
        try:
            check_inputs(arrays[one.name], one.shape, one.dtype)
        except UsageError as error:
            raise UsageError(f"the input {one.name!r}: {error}") from error
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name!r} has {count}" for name, count in rows.items())
        raise UsageError(f"expected as many rows in each input, but {counts}")
    return InputBatch(arrays) if len(inputs) > 1 else arrays[inputs[0].name]


def _by_name(given: GivenInputs, inputs: Sequence[Input]) -> dict[str, Array]:
    """Return the inputs by name, in the order of the network.

    Raises:
        UsageError: If an input is missing or unknown.
    """
    names = [one.name for one in inputs]
    expected = f"expected {_described(inputs)}"
    if isinstance(given, InputBatch | Mapping):
        arrays = given.arrays if isinstance(given, InputBatch) else given
        if set(arrays) != set(names):
            found = ", ".join(map(repr, arrays)) or "none"
            raise UsageError(f"{expected}, got a mapping with the names {found}")
        return {name: arrays[name] for name in names}
    if not isinstance(given, tuple | list):
        raise UsageError(f"{expected}, got {_one(given)}")
    if len(given) != len(names):
        raise UsageError(f"{expected}, got a {type(given).__name__} of {len(given)}")
    return dict(zip(names, given, strict=True))


def _described(inputs: Sequence[Input]) -> str:
    """Return what a network takes, and in which form."""
    parts = [
        f"{one.name!r} {one.dtype} (N{''.join(f', {size}' for size in one.shape)})"
        for one in inputs
    ]
    count = f"{len(inputs)} inputs" if len(inputs) > 1 else "the input"
    return f"{count}, {' and '.join(parts)}, as a tuple in this order or a dict by name"


def _one(given: object) -> str:
    is_array = isinstance(given, np.ndarray)
    return "one array" if is_array else f"one {type(given).__name__}"


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
