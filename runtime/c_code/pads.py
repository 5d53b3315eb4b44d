"""Padding with a constant: the map is filled, and the source copied to its place."""

from collections.abc import Sequence
from math import prod

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.buffers import Call, bytes_of
from bnnkit.runtime.c_code.calls import Values, pixels_of, size_of
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.c_code.moves import place_of
from bnnkit.runtime.memory.values import Array, Value
from bnnkit.runtime.steps.real import NumpyOperator


def is_filled(step: NumpyOperator, examples: Sequence[Array | None]) -> bool:
    """Whether a Pad grows its input, with a constant."""
    widths = examples[1]
    assert widths is not None  # a required input
    is_constant: bool = step.attributes.get("mode", b"constant") == b"constant"
    return is_constant and bool((widths >= 0).all() and widths.any())


def pad(
    step: NumpyOperator,
    source: str,
    examples: Sequence[Array | None],
    values: Values,
    constants: Constants,
) -> Call:
    """Return the copy of a map into a larger one that holds a constant.

    Args:
        step: A Pad.
        source: The value that it pads.
        examples: Its inputs for a batch of one; the source's is replaced.
        values: Kind and shape of each value.
        constants: Receives the constant.

    Raises:
        UnsupportedError: If what it pads with is computed.
    """
    value, target = values[source], values[step.target]
    channel, top, left = _place(step, source, examples, value)
    inserted = examples[2] if len(examples) > 2 else None
    number = np.array([0 if inserted is None else inserted.reshape(())], target.dtype)
    size, name = number.itemsize, constants.array(number)
    unpack, operands, temporaries = _as_map(step, source, value, size, values)
    channels, height, width = value.map
    y_channels, _, y_width = target.map
    fill = f"bnn_fill({{y}}, {prod(target.shape)}, {size}, {name});"
    place = f"{y_width}, {size * y_channels}, {top}, {left}, {size * channel}"
    copy = f"bnn_place({{map}}, {height}, {width}, {size * channels}, {{y}}, {place});"
    return Call(
        code=" ".join([*unpack, fill, copy]),
        operands={**operands, "y": step.target},
        reads=(source,),
        writes=(step.target,),
        temporaries=temporaries,
    )


def _as_map(
    step: NumpyOperator, source: str, value: Value, size: int, values: Values
) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """Return the statements that store the source as (H, W, C), their operands and memory."""
    if value.kind == "real":
        return [], {"map": source}, {}
    placed = f"{step.target}/map"
    if value.kind == "signs":
        unpack = f"bnn_codes_of_signs({{x}}, {size_of(values, source)}, {{map}});"
        return [unpack], {"x": source, "map": placed}, {placed: prod(value.shape)}
    if value.kind == "image":
        channels, pixels = value.map[0], pixels_of(values, source)
        unpack = f"bnn_transpose({{x}}, {channels}, {pixels}, {size}, {{map}});"
        return [unpack], {"x": source, "map": placed}, {placed: bytes_of(value)}
    raise UnsupportedError(f"Pad of {value.kind}")


def _place(
    step: NumpyOperator, source: str, examples: Sequence[Array | None], value: Value
) -> tuple[int, int, int]:
    """Return the channel, row and column of the first element."""
    numbers = np.arange(1, prod(value.shape) + 1).reshape(1, *value.shape)
    if place_of(step, source) != 0:
        raise UnsupportedError("Pad by computed numbers")
    found = step.function(step.attributes, numbers, examples[1], None, *examples[3:])[0]
    shape = found.shape if found.ndim == 3 else (*found.shape, 1, 1)
    at = np.argwhere(found.reshape(shape) == 1)
    if len(at) == 1 and len(shape) == 3:
        channel, top, left = map(int, at[0])
        wanted = np.zeros(shape, found.dtype)
        channels, height, width = value.map
        inside = wanted[channel:, top:, left:][:channels, :height, :width]
        if inside.shape == value.map:
            inside[...] = numbers.reshape(value.map)
            if np.array_equal(wanted.reshape(found.shape), found):
                return channel, top, left
    raise UnsupportedError("Pad of something else than a map or a vector")
