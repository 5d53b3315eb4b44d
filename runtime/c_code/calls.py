"""Calls with one operand, which most steps become, and sizes in their arguments."""

from collections.abc import Mapping

import numpy as np

from bnnkit.runtime.c_code.buffers import Call, bytes_of
from bnnkit.runtime.c_code.constants import Constants, float_literal
from bnnkit.runtime.memory.values import Array, Value

Values = Mapping[str, Value]


def unary(
    code: str, source: str, target: str, *, in_place: bool = False, is_sampled: bool = False
) -> Call:
    """Return a statement that reads {x} and writes {y}.

    Args:
        code: The statement.
        source: The value that it reads.
        target: The value that it writes.
        in_place: Whether both may lie in the same place.
        is_sampled: Whether it depends on the noise.
    """
    return Call(
        code=code,
        operands={"x": source, "y": target},
        reads=(source,),
        writes=(target,),
        replaces=(source, target) if in_place else None,
        is_sampled=is_sampled,
    )


def copy(values: Values, source: str, target: str) -> Call:
    """Return the copy of a value that stays as it is stored."""
    code = f"memmove({{y}}, {{x}}, {bytes_of(values[target])});"
    return unary(code, source, target, in_place=True)


def apply_map(operation: str, values: Values, target: str, stride: int) -> str:
    """Return the statement that applies an operation of bnn_reals.h to the maps {x} and {map}.

    Args:
        operation: Its name in C.
        values: Kind and shape of each value.
        target: The map that it writes.
        stride: Numbers between the operands of neighbouring pixels.
    """
    return f"bnn_apply({operation}, {{x}}, {size_of(values, target)}, {{map}}, {stride}, {{y}});"


def apply_numbers(
    operation: str, values: Values, target: str, numbers: Array, constants: Constants
) -> str:
    """Return the statement that applies an operation of bnn_reals.h to {x}, with constants.

    Args:
        operation: Its name in C.
        values: Kind and shape of each value.
        target: The map that it writes.
        numbers: float32 (C,). They are stored unless all are the same.
        constants: Receives them.
    """
    bits = numbers.view(np.uint32)
    if (bits == bits[0]).all():
        number = float_literal(numbers[0])
        count = pixels_of(values, target) * len(numbers)
        return f"bnn_apply_number({operation}, {{x}}, {count}, {number}, {{y}});"
    name = constants.array(numbers)
    return f"bnn_apply({operation}, {{x}}, {size_of(values, target)}, {name}, 0, {{y}});"


def pixels_of(values: Values, name: str) -> int:
    """Return the number of pixels of a map."""
    _, height, width = values[name].map
    return height * width


def size_of(values: Values, name: str) -> str:
    """Return "pixels, channels" of a map."""
    return f"{pixels_of(values, name)}, {values[name].map[0]}"
