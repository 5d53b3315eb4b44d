"""Operators that only move elements: a copy in an order that is found by running them."""

from math import prod

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.buffers import Call
from bnnkit.runtime.c_code.calls import Values, copy, size_of, unary
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.memory.values import Array, Value
from bnnkit.runtime.steps.real import NumpyOperator


def move(
    step: NumpyOperator,
    kind: str,
    source: str,
    examples: list[Array | None],
    values: Values,
    constants: Constants,
) -> Call:
    """Return the copy of elements to other places.

    Args:
        step: The operator.
        kind: Its kind, for messages.
        source: The value whose elements it moves.
        examples: Its inputs for a batch of one; the source's is replaced.
        values: Kind and shape of each value.
        constants: Receives the order, unless it is a transposition.

    Raises:
        UnsupportedError: If it does more than move elements.
    """
    value = values[source]
    count = prod(value.shape)
    examples[place_of(step, source)] = np.arange(1, count + 1).reshape(1, *value.shape)
    order = step.function(step.attributes, *examples)[0]
    if not np.issubdtype(order.dtype, np.integer) or (order < 1).any():
        raise UnsupportedError(f"{kind} that inserts numbers")
    # Signs are unpacked in ONNX's order, which an image has anyway.
    is_onnx = value.kind in ("signs", "image")
    places = np.arange(count) if is_onnx else _places(value)
    wanted = places[_as_stored(order) - 1]
    if value.kind == "signs":
        return _move_signs(step, source, wanted, values, constants)
    if np.array_equal(wanted, np.arange(wanted.size)) and wanted.size == count:
        return copy(values, source, step.target)
    size = values[step.target].dtype.itemsize
    if not is_onnx and _is_transposed(value, wanted):
        return unary(
            f"bnn_transpose({{x}}, {size_of(values, source)}, {size}, {{y}});", source, step.target
        )
    table = constants.array(wanted.astype(np.uint32))
    code = f"bnn_gather({{x}}, {table}, {wanted.size}, {size}, {{y}});"
    return unary(code, source, step.target)


def place_of(step: NumpyOperator, source: str) -> int:
    """Return the index of a value among the inputs of an operator, some of which are arrays."""
    return next(i for i, one in enumerate(step.sources) if isinstance(one, str) and one == source)


def _move_signs(
    step: NumpyOperator, source: str, order: Array, values: Values, constants: Constants
) -> Call:
    """Return the unpacking of signs to codes 0 and 2, and their copy."""
    codes = f"{step.target}/codes"
    table = constants.array(order.astype(np.uint32))
    unpack = f"bnn_unpack_codes({{x}}, {size_of(values, source)}, {{codes}});"
    return Call(
        code=f"{unpack} bnn_gather({{codes}}, {table}, {order.size}, 1, {{y}});",
        operands={"x": source, "codes": codes, "y": step.target},
        reads=(source,),
        writes=(step.target,),
        temporaries={codes: prod(values[source].shape)},
    )


def _is_transposed(value: Value, order: Array) -> bool:
    """Whether the order is that of (C, H, W) in a map stored as (H, W, C)."""
    if len(value.shape) != 3:
        return False
    channels, height, width = value.shape
    stored = np.arange(channels * height * width).reshape(height * width, channels)
    return np.array_equal(order, stored.T.reshape(-1))


def _places(value: Value) -> Array:
    """Return where each element, in ONNX's order, is stored."""
    if len(value.shape) != 3:
        return np.arange(prod(value.shape))
    channels, height, width = value.shape
    stored = np.arange(channels * height * width).reshape(height, width, channels)
    return stored.transpose(2, 0, 1).reshape(-1)


def _as_stored(array: Array) -> Array:
    """Return the elements of a value in the order in which they are stored."""
    return (array.transpose(1, 2, 0) if array.ndim == 3 else array).reshape(-1)
