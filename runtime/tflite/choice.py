"""Comparisons, and what is chosen by them: the sign in builtin operators."""

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.runtime.tflite.draft import Draft
from bnnkit.runtime.tflite.elementwise import operands_of
from bnnkit.runtime.tflite.lce_operators import as_real, signs_of
from bnnkit.runtime.tflite.network import Operator
from bnnkit.runtime.tflite.numbers import give_real, real_constant
from bnnkit.runtime.tflite.values import Value
from bnnkit.tflite_schema import Builtin


def compare(draft: Draft, operator: Operator) -> None:
    """GREATER_EQUAL and LESS_EQUAL: bools, which are held as signs."""
    operands, shape = operands_of(draft, operator)
    if operator.code == Builtin.LESS_EQUAL:
        operands.reverse()
    difference = draft.emit("Sub", operands)  # underflow is gradual, so no sign is lost
    name = draft.emit_binary("Sign", [difference])
    draft.give(operator.output, Value(name=name, kind="signs", shape=shape))


def select(draft: Draft, operator: Operator) -> None:
    """SELECT and SELECT_V2 between two constant numbers: sign * (a - b) / 2 + (a + b) / 2.

    Raises:
        UnsupportedError: They are computed, or more than one each, or the formula is not exact.
    """
    value = signs_of(draft, operator)
    for index in (1, 2):
        draft.constant_of(operator, index)
    chosen = [real_constant(draft, place).reshape(-1) for place in operator.inputs[1:3]]
    if any(numbers.size != 1 for numbers in chosen):
        raise UnsupportedError("expected to choose between two constant numbers")
    a, b = (np.float32(numbers[0]) for numbers in chosen)
    half, middle = (a - b) / np.float32(2), (a + b) / np.float32(2)
    if (middle + half, middle - half) != (a, b):
        raise UnsupportedError(f"cannot choose between {a} and {b} without rounding")
    name = as_real(draft, value)
    if half != 1:
        name = draft.emit("Mul", [name, draft.constant(half)])
    if middle != 0:
        name = draft.emit("Add", [name, draft.constant(middle)])
    give_real(draft, operator, name, value.shape)
